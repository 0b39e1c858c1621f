"""The calls that Label Studio makes to an ML backend."""

from collections.abc import Sequence

from flask import Blueprint, Response, g, request

from cleanplate.errors import BusyError
from cleanplate.label_studio.payloads import PredictRequest, SetupRequest
from cleanplate.web.answers import described, json_answer
from cleanplate.web.body import body_of
from cleanplate.web.clicks import FailedClicks
from cleanplate.web.metrics import Metrics
from cleanplate.web.places import Places
from cleanplate.web.refusals import NoTrainingError
from cleanplate.web.services import Services


def ml_routes(services: Services, places: Places, failed: FailedClicks, metrics: Metrics) -> Blueprint:
    """The ML-backend protocol."""
    routes = Blueprint("ml", __name__)

    @routes.get("/")
    @routes.get("/health")
    def health() -> Response:
        # Label Studio gives this one second, at every page it shows: nothing here may wait for anything.
        return json_answer({"status": "UP", "model_class": "cleanplate"})

    @routes.post("/setup")
    def setup() -> Response:
        SetupRequest.from_json(body_of(request))
        return json_answer({"model_version": services.model_version})

    @routes.get("/versions")
    def versions() -> Response:
        return json_answer({"versions": [services.model_version]})

    @routes.post("/predict")
    def predict() -> Response:
        asked = PredictRequest.from_json(body_of(request))
        try:
            results = _predict(asked)
        except Exception as error:
            metrics.predictions.labels("busy" if isinstance(error, BusyError) else "failed").inc()
            reason, message = described(error)
            failed.note(reason=reason, message=message, request_id=g.request_id)
            raise
        return json_answer({"results": results, "model_version": services.model_version})

    def _predict(asked: PredictRequest) -> Sequence[dict[str, object] | list[dict[str, object]]]:
        if asked.prompts is None and len(asked.tasks) > 1:
            # Nobody sits before these, so they take no place from clicks.
            metrics.predictions.labels("batch").inc()
            return services.predict_many(asked)
        if asked.prompts is None:
            # A task was opened. This is answered at once however many clicks wait: it holds up the whole page.
            metrics.predictions.labels("opened").inc()
            return services.predict(asked)
        with places.place():
            results = services.predict(asked)
        metrics.predictions.labels("answered" if any(item["result"] for item in results) else "empty").inc()
        return results

    @routes.post("/train")
    def train() -> Response:
        raise NoTrainingError("cleanplate learns nothing from annotations; there is nothing to train")

    return routes
