"""Webhooks: each is a hint about where to look, and nothing in it is believed."""

from http import HTTPStatus
from typing import Final

from flask import Blueprint, Response, request

from cleanplate.label_studio.payloads import WebhookEvent
from cleanplate.web.admission import WEBHOOK_PATH
from cleanplate.web.answers import json_answer
from cleanplate.web.body import body_of
from cleanplate.web.metrics import Metrics
from cleanplate.web.services import Services

_MOST_TASKS: Final = 20
"""Of more tasks than these we remember only their project: storing 5,000 hints would outlast Label Studio's second."""

_UNKNOWN_ACTION: Final = "other"


def webhook_routes(services: Services, metrics: Metrics) -> Blueprint:
    """The one route Label Studio's webhooks are sent to."""
    routes = Blueprint("webhook", __name__)

    @routes.post(WEBHOOK_PATH)
    def webhook() -> Response:
        event = WebhookEvent.from_json(body_of(request))
        if not event.is_known:
            metrics.webhooks.labels(_UNKNOWN_ACTION, "ignored").inc()
            return json_answer({"ignored": event.action})
        hints = _hints(event)
        for project_id, task_id in hints:
            services.hint(project_id, task_id)
        if not hints:
            services.hint_all()
        metrics.webhooks.labels(event.action, "accepted").inc()
        return json_answer({"accepted": event.action}, HTTPStatus.ACCEPTED)

    return routes


def _hints(event: WebhookEvent) -> list[tuple[int, int | None]]:
    """Where to look: some tasks, a project, or nowhere in particular (a webhook that was told to send no payload)."""
    if event.project_id is None:
        return []
    if not event.task_ids or len(event.task_ids) > _MOST_TASKS:
        return [(event.project_id, None)]
    return [(event.project_id, task_id) for task_id in event.task_ids]
