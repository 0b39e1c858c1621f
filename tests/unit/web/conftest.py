import base64
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cleanplate.app.checks import Check, EngineInUse, Outcome
from cleanplate.jobs.job import Job, JobState, Subject
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.storage.ledger import CopyRecord
from cleanplate.web.app import create_app
from cleanplate.web.credentials import BasicAuth, WebhookSecrets
from cleanplate.web.options import WebOptions

SECRET = "the-present-secret-of-the-webhook"


class CountingServices:
    """Answers what it is told to, and remembers what it was asked."""

    model_version = "graphcut-1:abc"
    engines: Sequence[EngineInUse] = (EngineInUse("segmenter", "graphcut-1"), EngineInUse("inpainter", "opencv-1"))

    def __init__(self) -> None:
        self.asked: list[PredictRequest] = []
        self.hints: list[tuple[int, int | None]] = []
        self.sweeps = 0
        self.looks = 0
        self.answer: list[dict[str, Any]] = [{"result": [{"id": "a"}], "score": 0.9, "model_version": "graphcut-1:abc"}]
        self.error: Exception | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.entered = threading.Semaphore(0)
        self.by_state: dict[JobState, list[Job]] = {}
        self.oldest_s: float | None = None
        self.to_look_at: list[CopyRecord] = []
        self.found: list[Check] = [Check("label studio", Outcome.OK, "answers in 12 ms")]

    def predict(self, request: PredictRequest) -> list[dict[str, Any]]:
        self.asked.append(request)
        if request.prompts is None:
            return []
        self.entered.release()
        assert self.hold.wait(20)
        if self.error:
            raise self.error
        return self.answer

    def predict_many(self, request: PredictRequest) -> list[dict[str, Any] | list[dict[str, Any]]]:
        self.asked.append(request)
        return [*self.answer, []]

    def click_events(self) -> Iterable[tuple[str, int]]:
        return [("answered", 12), ("superseded", 3), ("warmed", 0)]

    def hint(self, project_id: int, task_id: int | None) -> None:
        if self.error:
            raise self.error
        self.hints.append((project_id, task_id))

    def hint_all(self) -> None:
        self.sweeps += 1

    def counts(self) -> Mapping[JobState, int]:
        return {state: len(self.by_state.get(state, [])) for state in JobState}

    def oldest_ready_age_s(self) -> float | None:
        return self.oldest_s

    def jobs(self, *, state: JobState, limit: int) -> Sequence[Job]:
        return self.by_state.get(state, [])[:limit]

    def second_looks(self, *, limit: int) -> Sequence[CopyRecord]:
        return self.to_look_at[:limit]

    def second_look_count(self) -> int:
        return len(self.to_look_at)

    def checks(self) -> Sequence[Check]:
        self.looks += 1
        return self.found


@pytest.fixture
def services() -> CountingServices:
    return CountingServices()


@pytest.fixture
def options() -> WebOptions:
    return WebOptions(webhook_secrets=WebhookSecrets(SECRET), max_body_bytes=100_000)


@pytest.fixture
def guarded(options: WebOptions) -> WebOptions:
    return WebOptions(webhook_secrets=options.webhook_secrets, basic_auth=BasicAuth("studio", "pass:word"))


@pytest.fixture
def app(services: CountingServices, options: WebOptions) -> Flask:
    return create_app(services, options)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def guarded_client(services: CountingServices, guarded: WebOptions) -> FlaskClient:
    return create_app(services, guarded).test_client()


@pytest.fixture
def secret() -> dict[str, str]:
    return {"X-Cleanplate-Secret": SECRET}


@pytest.fixture
def credentials() -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(b"studio:pass:word").decode()}


@pytest.fixture
def click() -> dict[str, Any]:
    return {
        "tasks": [{"id": 1, "data": {"image": "/data/upload/1/a.jpg"}, "project": 1}],
        "project": "1.1795175793",
        "label_config": "<View/>",
        "params": {"context": {"result": [{"id": "k", "type": "keypointlabels", "value": {"x": 1, "y": 2}}]}},
    }


@pytest.fixture
def opening(click: dict[str, Any]) -> dict[str, Any]:
    return {**click, "params": {"login": None, "password": None, "context": None}}


@pytest.fixture
def failed_job() -> Job:
    return Job(
        key="k1",
        subject=Subject("http://studio.example:8080", 3, 14, 15),
        state=JobState.DEAD,
        attempt=5,
        step="fetch",
        reason="media_missing",
        message="the image of task 14 answered 404",
        created_at=datetime(2026, 11, 20, 9, tzinfo=UTC),
        updated_at=datetime(2026, 11, 20, 10, tzinfo=UTC),
        ready_at=datetime(2026, 11, 20, 9, tzinfo=UTC),
    )
