from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient

from cleanplate.errors import StorageUnavailableError

ANNOTATION = {"id": 3, "result": [], "task": 10, "project": 7}


def test_an_annotation_leaves_a_hint_to_its_task(client: FlaskClient, services, secret) -> None:
    body = {"action": "ANNOTATION_CREATED", "annotation": ANNOTATION, "task": {"id": 10}, "project": {"id": 7}}

    answer = client.post("/webhook", json=body, headers=secret)

    assert (answer.status_code, answer.json) == (202, {"accepted": "ANNOTATION_CREATED"})
    assert services.hints == [(7, 10)]


def test_an_update_leaves_the_same_hint(client: FlaskClient, services, secret) -> None:
    body = {"action": "ANNOTATION_UPDATED", "annotation": ANNOTATION, "project": {"id": 7}}

    client.post("/webhook", json=body, headers=secret)

    assert services.hints == [(7, 10)]


def test_annotations_made_in_bulk_leave_a_hint_for_each_task(client: FlaskClient, services, secret) -> None:
    body = {
        "action": "ANNOTATIONS_CREATED",
        "annotation": [{"id": 3, "task": 10}, {"id": 4, "task": 11}],
        "task": [{"id": 10}, {"id": 11}],
        "project": {"id": 7},
    }

    client.post("/webhook", json=body, headers=secret)

    assert services.hints == [(7, 10), (7, 11)]


def test_deleted_annotations_name_no_task_so_the_hint_is_the_project(client: FlaskClient, services, secret) -> None:
    body = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 4}], "project": {"id": 7}}

    client.post("/webhook", json=body, headers=secret)

    assert services.hints == [(7, None)]


def test_deleted_tasks_leave_a_hint_each_and_many_one_for_the_project(client: FlaskClient, services, secret) -> None:
    few = {"action": "TASKS_DELETED", "tasks": [{"id": 1}, {"id": 2}], "project": {"id": 7}}
    many = {"action": "TASKS_DELETED", "tasks": [{"id": number + 1} for number in range(500)], "project": {"id": 7}}

    client.post("/webhook", json=few, headers=secret)
    client.post("/webhook", json=many, headers=secret)

    assert services.hints == [(7, 1), (7, 2), (7, None)]


def test_an_event_without_payload_is_a_hint_to_look_everywhere(client: FlaskClient, services, secret) -> None:
    answer = client.post("/webhook", json={"action": "ANNOTATION_CREATED"}, headers=secret)

    assert answer.status_code == 202
    assert (services.sweeps, services.hints) == (1, [])


@pytest.mark.parametrize("action", ["START_TRAINING", "LABEL_LINK_CREATED", "REVIEW_CREATED", "x"])
def test_other_events_are_ignored_and_counted(client: FlaskClient, services, secret, action: str) -> None:
    answer = client.post("/webhook", json={"action": action, "project": {"id": 7}}, headers=secret)

    assert (answer.status_code, answer.json) == (200, {"ignored": action})
    assert (services.sweeps, services.hints) == (0, [])
    counter = 'cleanplate_webhook_events_total{action="other",outcome="ignored"} 1.0'
    assert counter in client.get("/metrics").text


def test_accepted_events_are_counted_by_action(client: FlaskClient, secret) -> None:
    client.post("/webhook", json={"action": "ANNOTATION_CREATED"}, headers=secret)

    counter = 'cleanplate_webhook_events_total{action="ANNOTATION_CREATED",outcome="accepted"} 1.0'
    assert counter in client.get("/metrics").text


def test_a_hint_that_could_not_be_stored_is_not_called_accepted(client: FlaskClient, services, secret) -> None:
    services.error = StorageUnavailableError("the disk is full")

    answer = client.post("/webhook", json={"action": "TASKS_DELETED", "project": {"id": 7}}, headers=secret)

    assert (answer.status_code, answer.json["error"]["reason"]) == (503, "storage_unavailable")
    assert "Retry-After" in answer.headers


def test_a_webhook_is_answered_while_clicks_are_worked_on(app, services, secret, click) -> None:
    services.hold.clear()
    with ThreadPoolExecutor() as pool:
        clicked = pool.submit(app.test_client().post, "/predict", json=click)
        assert services.entered.acquire(timeout=10)

        answer = app.test_client().post("/webhook", json={"action": "ANNOTATION_CREATED"}, headers=secret)
        services.hold.set()
        clicked.result()

    assert answer.status_code == 202
