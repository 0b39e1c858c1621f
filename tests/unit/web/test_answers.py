import json
import re

import pytest
import structlog
from flask.testing import FlaskClient

from cleanplate import errors
from cleanplate.web.answers import status_of


class NewlyInventedError(errors.CleanplateError):
    reason = "newly_invented"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.PayloadError("x"), 400),
        (errors.PromptError("x"), 422),
        (errors.PolicyError("x"), 422),
        (errors.RleError("x"), 422),
        (errors.ImageTooLargeError("x"), 422),
        (errors.UrlNotAllowedError("x"), 422),
        (errors.MediaMissingError("x"), 422),
        (errors.SupersededError("x"), 409),
        (errors.StorageConflictError("x"), 409),
        (errors.LabelStudioRefusedError("x", status=403), 502),
        (errors.LabelStudioAuthError("x", status=401), 502),
        (errors.LabelStudioUnreachableError("x"), 503),
        (errors.MediaUnavailableError("x"), 503),
        (errors.StorageUnavailableError("x"), 503),
        (errors.BusyError("x", retry_after_s=1), 503),
        (errors.EngineMemoryError("x"), 500),
        (errors.SettingsError("x"), 500),
        (NewlyInventedError("x"), 500),
    ],
)
def test_an_error_becomes_the_status_of_its_kind(error: errors.CleanplateError, status: int) -> None:
    assert status_of(error) == status


def test_an_error_is_answered_with_reason_message_and_request_id(client: FlaskClient, services, click) -> None:
    services.error = errors.PromptError("the box has no area")

    answer = client.post("/predict", json=click)

    request_id = answer.headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{32}", request_id)
    assert answer.json == {
        "error": {"reason": "bad_prompt", "message": "the box has no area", "request_id": request_id}
    }


def test_what_label_studio_said_about_waiting_is_passed_on(client: FlaskClient, services, click) -> None:
    services.error = errors.LabelStudioUnreachableError("busy", retry_after_s=6.2)

    assert client.post("/predict", json=click).headers["Retry-After"] == "7"


def test_an_error_nobody_foresaw_shows_nothing_of_itself(client: FlaskClient, services, click) -> None:
    services.error = ZeroDivisionError("hush /srv/private/photo.jpg")

    with structlog.testing.capture_logs() as lines:
        answer = client.post("/predict", json=click)

    assert (answer.status_code, answer.json["error"]["reason"]) == (500, "internal")
    assert "hush" not in answer.text
    assert "Traceback" not in answer.text
    logged = [line for line in lines if line["event"] == "request failed unexpectedly"]
    assert isinstance(logged[0]["exc_info"], ZeroDivisionError)


def test_an_error_of_ours_that_is_our_fault_is_logged_with_its_cause(client: FlaskClient, services, click) -> None:
    services.error = errors.EngineMemoryError("no room")

    with structlog.testing.capture_logs() as lines:
        client.post("/predict", json=click)

    assert [line["reason"] for line in lines if line["log_level"] == "error"] == ["engine_memory"]


@pytest.mark.parametrize("path", ["/nowhere", "/metrics/", "/webhook/../metrics", "/a//b", "/static/x", "/%00"])
def test_unknown_paths_are_404_and_never_led_elsewhere(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.json["error"]["reason"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["//webhook", "///webhook"])
def test_a_path_spelt_another_way_meets_the_same_rules(client: FlaskClient, services, path: str) -> None:
    answer = client.post("/", json={"action": "ANNOTATION_CREATED"}, environ_overrides={"PATH_INFO": path})

    assert (answer.status_code, answer.json["error"]["reason"]) == (401, "wrong_secret")
    assert services.sweeps == 0


@pytest.mark.parametrize(("method", "path"), [("GET", "/predict"), ("DELETE", "/health"), ("OPTIONS", "/predict")])
def test_wrong_methods_are_405(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method)

    assert (answer.status_code, answer.json["error"]["reason"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"]


def test_failures_are_counted_by_reason(client: FlaskClient) -> None:
    client.post("/predict", data=b"{")
    client.get("/nowhere")

    figures = client.get("/metrics").text
    assert 'cleanplate_failures_total{reason="bad_payload"} 1.0' in figures
    assert 'cleanplate_failures_total{reason="not_found"} 1.0' in figures


def test_the_access_log_has_the_route_and_nothing_the_caller_wrote(client: FlaskClient) -> None:
    with structlog.testing.capture_logs() as lines:
        client.get("/nowhere/hush-1?token=hush-2", headers={"X-Any": "hush-3"})
        client.post("/predict?q=hush-4", data=b'{"hush-5": 1}')

    answered = [line for line in lines if line["event"] == "request answered"]
    assert [(line["route"], line["status"]) for line in answered] == [("none", 404), ("/predict", 400)]
    assert "hush" not in repr(lines)


def test_probes_do_not_fill_the_log(client: FlaskClient) -> None:
    with structlog.testing.capture_logs() as lines:
        client.get("/health")
        client.get("/versions")

    assert [(line["route"], line["log_level"]) for line in lines] == [("/health", "debug"), ("/versions", "info")]


def test_what_one_request_left_in_the_log_context_does_not_stick_to_the_next(client, services, click) -> None:
    structlog.contextvars.bind_contextvars(task="of another")
    seen: list[dict[str, object]] = []
    services.predict = lambda _: seen.append(structlog.contextvars.get_contextvars()) or []

    client.post("/predict", json=click)

    assert list(seen[0]) == ["request_id"]


def test_a_body_shorter_than_announced_is_never_parsed(client: FlaskClient, services, click) -> None:
    body = json.dumps(click).encode()

    answer = client.post("/predict", data=body, environ_overrides={"CONTENT_LENGTH": str(len(body) + 1)})

    assert (answer.status_code, answer.json["error"]["reason"]) == (400, "body_incomplete")
    assert services.asked == []


def test_lines_about_one_request_carry_its_id(client: FlaskClient, services, click) -> None:
    seen: list[dict[str, object]] = []
    real = services.predict

    def predict(request):
        seen.append(structlog.contextvars.get_contextvars())
        return real(request)

    services.predict = predict
    answer = client.post("/predict", json=click)

    assert seen == [{"request_id": answer.headers["X-Request-Id"]}]


def test_answers_are_not_kept_framed_or_guessed_at(client: FlaskClient) -> None:
    headers = client.get("/status").headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
