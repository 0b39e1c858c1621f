import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from cleanplate.errors import CleanplateError
from cleanplate.web.admission import OPEN_PATHS, Admission, Head
from cleanplate.web.answers import described, error_answer, error_json, json_answer, new_request_id
from cleanplate.web.clicks import FailedClicks
from cleanplate.web.metrics import Metrics
from cleanplate.web.ml import ml_routes
from cleanplate.web.options import WebOptions
from cleanplate.web.places import Places
from cleanplate.web.probes import probe_routes
from cleanplate.web.readiness import Readiness
from cleanplate.web.services import Services
from cleanplate.web.status import status_routes
from cleanplate.web.webhook import webhook_routes

_EXTENSION: Final = "cleanplate"

_NO_ROUTE: Final = "none"

log = structlog.get_logger()


@dataclass(frozen=True)
class Web:
    """What the server shares with the app it serves."""

    options: WebOptions
    admission: Admission
    metrics: Metrics


def create_app(services: Services, options: WebOptions) -> Flask:
    """The HTTP side as a WSGI app. It is safe under any WSGI server; `server.serve` adds limits a server can keep."""
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    web = Web(options=options, admission=Admission(options), metrics=Metrics(services))
    app.extensions[_EXTENSION] = web
    places = Places(options.predictions)
    readiness = Readiness(services)
    failed = FailedClicks()
    app.register_blueprint(ml_routes(services, places, failed, web.metrics))
    app.register_blueprint(webhook_routes(services, web.metrics))
    app.register_blueprint(probe_routes(readiness, places, web.metrics))
    app.register_blueprint(status_routes(services, readiness, failed))
    _frame_requests(app, web)
    _answer_errors(app, web.metrics)
    return app


def web_of(app: Flask) -> Web:
    """What belongs to an app that `create_app` made."""
    return cast("Web", app.extensions[_EXTENSION])


def _frame_requests(app: Flask, web: Web) -> None:
    @app.before_request
    def begin() -> None:
        g.request_id = new_request_id()
        g.style_nonce = secrets.token_urlsafe(16)
        g.began_at = time.monotonic()
        # The thread has served others before, who may have left something.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)
        web.admission.require(Head.from_environ(request.environ, path=request.path))

    @app.after_request
    def finish(answer: Response) -> Response:
        answer.headers["X-Request-Id"] = g.request_id
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'nonce-{g.style_nonce}'; frame-ancestors 'none'; base-uri 'none'"
        )
        _record(answer, web.metrics)
        return answer


def _record(answer: Response, metrics: Metrics) -> None:
    # The route and never the path: a path can hold anything, and a label or a log line must not.
    route = request.url_rule.rule if request.url_rule else _NO_ROUTE
    seconds = time.monotonic() - g.began_at
    metrics.requests.labels(route, answer.status_code).inc()
    metrics.latency.labels(route).observe(seconds)
    quiet = route in OPEN_PATHS and answer.status_code == HTTPStatus.OK
    write = log.debug if quiet else log.info
    write(
        "request answered", method=request.method, route=route, status=answer.status_code, ms=round(1000 * seconds, 1)
    )


def _answer_errors(app: Flask, metrics: Metrics) -> None:
    @app.errorhandler(CleanplateError)
    def ours(error: CleanplateError) -> Response:
        metrics.failures.labels(error.reason).inc()
        answer = error_answer(error, g.request_id)
        if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed", reason=error.reason, exc_info=error)
        else:
            log.info("request refused", reason=error.reason, message=str(error))
        return answer

    @app.errorhandler(HTTPException)
    def flasks(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        reason = status.name.lower()
        metrics.failures.labels(reason).inc()
        answer = json_answer(error_json(reason=reason, message=status.description, request_id=g.request_id), status)
        answer.headers.extend([(name, value) for name, value in error.get_headers() if name.lower() != "content-type"])
        return answer

    @app.errorhandler(Exception)
    def nobodys(error: Exception) -> Response:
        reason, message = described(error)
        metrics.failures.labels(reason).inc()
        log.error("request failed unexpectedly", exc_info=error)
        value = error_json(reason=reason, message=message, request_id=g.request_id)
        return json_answer(value, HTTPStatus.INTERNAL_SERVER_ERROR)
