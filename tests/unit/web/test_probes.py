import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from cleanplate.app.checks import Check, Outcome
from cleanplate.jobs.job import JobState
from cleanplate.web import readiness
from cleanplate.web.app import create_app
from cleanplate.web.credentials import WebhookSecrets
from cleanplate.web.options import WebOptions
from cleanplate.web.readiness import Readiness


def test_livez_answers_without_looking_at_anything(client: FlaskClient, services) -> None:
    assert client.get("/livez").json == {"status": "alive"}
    assert services.looks == 0


def test_readyz_is_ready_when_all_is_well(client: FlaskClient) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json) == (200, {"status": "ready", "checks": {"label studio": "ok"}})


def test_readyz_names_what_fails_and_tells_no_more(client: FlaskClient, services) -> None:
    services.found = [Check("queue", Outcome.OK, "hush"), Check("label studio", Outcome.FAILED, "hush", remedy="hush")]

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json == {"status": "not ready", "checks": {"queue": "ok", "label studio": "failing"}}


def test_readyz_is_not_ready_before_the_first_look_has_found_anything(client: FlaskClient, services) -> None:
    services.found = []

    assert client.get("/readyz").status_code == 503


def test_readyz_is_not_ready_while_every_place_for_clicks_is_taken(services, click) -> None:
    options = WebOptions(WebhookSecrets("secret"), predictions=1)
    app = create_app(services, options)
    services.hold.clear()
    with ThreadPoolExecutor() as pool:
        clicked = pool.submit(app.test_client().post, "/predict", json=click)
        assert services.entered.acquire(timeout=10)

        full = app.test_client().get("/readyz")
        services.hold.set()
        clicked.result()

    assert full.status_code == 503
    assert app.test_client().get("/readyz").status_code == 200


def test_probes_ten_a_second_look_once(client: FlaskClient, services) -> None:
    for _ in range(10):
        client.get("/readyz")

    assert services.looks == 1


def test_after_ten_seconds_it_looks_again(services, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(readiness.time, "monotonic", lambda: now[0])
    ready = Readiness(services)

    ready.checks()
    now[0] += 9.9
    ready.checks()
    assert services.looks == 1
    now[0] += 0.2
    ready.checks()
    assert services.looks == 2


def test_while_one_looks_the_others_are_told_the_last_finding(services, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(readiness.time, "monotonic", lambda: now[0])
    ready = Readiness(services)
    before = ready.checks()
    now[0] += 11
    looking, go_on = threading.Event(), threading.Event()

    def checks() -> list[Check]:
        looking.set()
        assert go_on.wait(10)
        return [Check("label studio", Outcome.FAILED, "gone")]

    services.checks = checks
    with ThreadPoolExecutor() as pool:
        look = pool.submit(ready.checks)
        assert looking.wait(10)
        assert ready.checks() == before
        go_on.set()
        assert not look.result()[0].ok


def test_a_look_that_failed_does_not_end_all_looking(services) -> None:
    ready = Readiness(services)
    real, services.checks = services.checks, lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        ready.checks()

    services.checks = real
    assert ready.checks()


def test_the_figures_can_be_read_and_hold_the_queue_and_the_clicks(client: FlaskClient, services, failed_job) -> None:
    services.by_state = {JobState.DEAD: [failed_job] * 3}
    services.oldest_s = 12.5
    client.get("/health")

    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}

    jobs = {sample.labels["state"]: sample.value for sample in families["cleanplate_jobs"].samples}
    assert (jobs["dead"], jobs["ready"]) == (3, 0)
    assert families["cleanplate_oldest_ready_job_seconds"].samples[0].value == 12.5
    clicks = {sample.labels["event"]: sample.value for sample in families["cleanplate_click_events"].samples}
    assert clicks == {"answered": 12, "superseded": 3, "warmed": 0}
    requests = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["cleanplate_requests"].samples
        if sample.name.endswith("_total")
    }
    assert requests["/health", "200"] == 1


def test_no_waiting_job_is_an_age_of_zero(client: FlaskClient) -> None:
    assert "cleanplate_oldest_ready_job_seconds 0.0" in client.get("/metrics").text


def test_copies_to_look_at_are_counted(client, services) -> None:
    assert "cleanplate_second_looks 0.0" in client.get("/metrics").text

    services.to_look_at = [object(), object()]

    assert "cleanplate_second_looks 2.0" in client.get("/metrics").text


def test_two_apps_in_one_process_count_for_themselves(app, services, options) -> None:
    other = create_app(services, options)
    app.test_client().get("/livez")

    assert 'route="/livez"' not in other.test_client().get("/metrics").text
