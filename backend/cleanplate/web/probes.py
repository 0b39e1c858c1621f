"""What orchestrators and monitoring ask."""

from http import HTTPStatus

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cleanplate.web.answers import json_answer
from cleanplate.web.metrics import Metrics
from cleanplate.web.places import Places
from cleanplate.web.readiness import Readiness


def probe_routes(readiness: Readiness, places: Places, metrics: Metrics) -> Blueprint:
    """`/livez`, `/readyz` and `/metrics`."""
    routes = Blueprint("probes", __name__)

    @routes.get("/livez")
    def livez() -> Response:
        return json_answer({"status": "alive"})

    @routes.get("/readyz")
    def readyz() -> Response:
        # Open to everybody, so only the names of the checks are told; the rest is on the status page.
        checks = {check.name: check.ok for check in readiness.checks()}
        ready = bool(checks) and all(checks.values()) and not places.is_full
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        shown = {name: "ok" if ok else "failing" for name, ok in checks.items()}
        return json_answer({"status": "ready" if ready else "not ready", "checks": shown}, status)

    @routes.get("/metrics")
    def figures() -> Response:
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    return routes
