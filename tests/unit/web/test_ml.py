from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from flask.testing import FlaskClient

from cleanplate.errors import BusyError, LabelStudioUnreachableError, PromptError
from cleanplate.web.app import create_app
from cleanplate.web.credentials import WebhookSecrets
from cleanplate.web.options import WebOptions

SECRETS = WebhookSecrets("secret")


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_says_that_it_is_up_and_touches_nothing(client: FlaskClient, services, path: str) -> None:
    answer = client.get(path)

    assert answer.json == {"status": "UP", "model_class": "cleanplate"}
    assert (services.looks, services.asked) == (0, [])


def test_setup_answers_with_the_model_version_and_logs_no_token(client: FlaskClient) -> None:
    body = {
        "project": "1.17",
        "schema": "<View/>",
        "hostname": "http://h",
        "access_token": "hush",
        "extra_params": None,
    }

    with structlog.testing.capture_logs() as lines:
        answer = client.post("/setup", json=body)

    assert answer.json == {"model_version": "graphcut-1:abc"}
    assert "hush" not in repr(lines)


def test_versions_are_the_one_there_is(client: FlaskClient) -> None:
    assert client.get("/versions").json == {"versions": ["graphcut-1:abc"]}


def test_a_click_is_answered_with_its_results(client: FlaskClient, services, click) -> None:
    answer = client.post("/predict", json=click)

    assert answer.json == {"results": services.answer, "model_version": "graphcut-1:abc"}
    prompts = services.asked[0].prompts
    assert [item.id for item in prompts] == ["k"]


def test_opening_a_task_is_answered_empty_even_when_every_place_is_taken(services, click, opening) -> None:
    options = WebOptions(SECRETS, predictions=1)
    app = create_app(services, options)
    services.hold.clear()
    with ThreadPoolExecutor() as pool:
        clicked = pool.submit(app.test_client().post, "/predict", json=click)
        assert services.entered.acquire(timeout=10)

        opened = app.test_client().post("/predict", json=opening)
        services.hold.set()

        assert opened.json["results"] == []
        assert clicked.result().status_code == 200


def test_a_list_of_tasks_is_answered_task_by_task_and_takes_no_place_from_clicks(services, click) -> None:
    app = create_app(services, WebOptions(SECRETS, predictions=1))
    listed = {"tasks": [{"id": 1}, {"id": 2}], "project": "1.2", "params": {"context": None}}
    services.hold.clear()
    with ThreadPoolExecutor() as pool:
        clicked = pool.submit(app.test_client().post, "/predict", json=click)
        assert services.entered.acquire(timeout=10)

        answer = app.test_client().post("/predict", json=listed)
        services.hold.set()
        clicked.result()

    assert answer.json["results"] == [*services.answer, []]
    assert 'cleanplate_predictions_total{outcome="batch"} 1.0' in app.test_client().get("/metrics").text


def test_a_click_too_many_is_sent_away_with_503_and_a_time_to_come_again(services, click) -> None:
    app = create_app(services, WebOptions(SECRETS, predictions=1))
    services.hold.clear()
    with ThreadPoolExecutor() as pool:
        clicked = pool.submit(app.test_client().post, "/predict", json=click)
        assert services.entered.acquire(timeout=10)

        refused = app.test_client().post("/predict", json=click)
        services.hold.set()
        clicked.result()

    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.json["error"]["reason"] == "busy"


def test_there_are_threads_no_click_can_hold() -> None:
    options = WebOptions(SECRETS, predictions=8)

    assert options.threads > 8


def test_training_is_answered_honestly(client: FlaskClient) -> None:
    answer = client.post("/train", json={})

    assert (answer.status_code, answer.json["error"]["reason"]) == (501, "no_training")


def test_outcomes_of_clicks_are_counted(client: FlaskClient, services, click, opening) -> None:
    client.post("/predict", json=opening)
    client.post("/predict", json=click)
    services.answer = [{"result": [], "score": 0.0}]
    client.post("/predict", json=click)
    for error in (PromptError("outside"), BusyError("full", retry_after_s=1), LabelStudioUnreachableError("gone")):
        services.error = error
        client.post("/predict", json=click)

    figures = client.get("/metrics").text
    counted = {
        outcome: f'cleanplate_predictions_total{{outcome="{outcome}"}} {times}.0' in figures
        for outcome, times in [("opened", 1), ("answered", 1), ("empty", 1), ("busy", 1), ("failed", 2)]
    }
    assert all(counted.values()), counted


def test_clicks_run_side_by_side(services, click) -> None:
    app = create_app(services, WebOptions(SECRETS, predictions=2))
    services.hold.clear()
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(app.test_client().post, "/predict", json=click) for _ in range(2)]
        for _ in both:
            assert services.entered.acquire(timeout=10)
        services.hold.set()

        assert [one.result().status_code for one in both] == [200, 200]
