"""What every answer looks like, and which status an error becomes."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import orjson
from flask import Response

from cleanplate.errors import (
    BusyError,
    CleanplateError,
    ImageError,
    JobError,
    LabelStudioError,
    LabelStudioUnreachableError,
    MaskError,
    MediaMissingError,
    MediaTooLargeError,
    MediaUnavailableError,
    PayloadError,
    PolicyError,
    PromptError,
    StorageConflictError,
    StorageUnavailableError,
    UrlNotAllowedError,
)
from cleanplate.web.refusals import RequestRefusedError

INTERNAL: Final = "internal"
"""The reason of an error that nobody foresaw."""

INTERNAL_MESSAGE: Final = "something went wrong here; the log has it under this request id"

_STATUS: Final[Mapping[type[CleanplateError], HTTPStatus]] = MappingProxyType(
    {
        PayloadError: HTTPStatus.BAD_REQUEST,
        PromptError: HTTPStatus.UNPROCESSABLE_ENTITY,
        PolicyError: HTTPStatus.UNPROCESSABLE_ENTITY,
        MaskError: HTTPStatus.UNPROCESSABLE_ENTITY,
        ImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
        UrlNotAllowedError: HTTPStatus.UNPROCESSABLE_ENTITY,
        MediaMissingError: HTTPStatus.UNPROCESSABLE_ENTITY,
        MediaTooLargeError: HTTPStatus.UNPROCESSABLE_ENTITY,
        JobError: HTTPStatus.CONFLICT,
        StorageConflictError: HTTPStatus.CONFLICT,
        LabelStudioError: HTTPStatus.BAD_GATEWAY,
        LabelStudioUnreachableError: HTTPStatus.SERVICE_UNAVAILABLE,
        MediaUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
        StorageUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
        BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
"""An error that is not here is answered like the nearest of its ancestors that is."""

_COME_AGAIN_S: Final = 5.0
"""Said in Retry-After when the error does not know better."""


def new_request_id() -> str:
    """A name for one request, found in its answer and in every log line about it."""
    return uuid4().hex


def json_answer(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(value), status=status, mimetype="application/json")


def described(error: Exception) -> tuple[str, str]:
    """An error's reason and message, as far as they may leave this process."""
    return (error.reason, str(error)) if isinstance(error, CleanplateError) else (INTERNAL, INTERNAL_MESSAGE)


def error_json(*, reason: str, message: str, request_id: str) -> dict[str, Any]:
    """What every error looks like from outside."""
    return {"error": {"reason": reason, "message": message, "request_id": request_id}}


def error_answer(error: CleanplateError, request_id: str) -> Response:
    """The answer to a request that ended with an error of ours."""
    status = status_of(error)
    answer = json_answer(error_json(reason=error.reason, message=str(error), request_id=request_id), status)
    if isinstance(error, RequestRefusedError) and error.challenge:
        answer.headers["WWW-Authenticate"] = error.challenge
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = str(math.ceil(error.retry_after_s or _COME_AGAIN_S))
    return answer


def status_of(error: CleanplateError) -> HTTPStatus:
    """The HTTP status an error becomes; 500 for what is our own fault."""
    if isinstance(error, RequestRefusedError):
        return error.status
    ancestors = (_STATUS.get(kind) for kind in type(error).__mro__)
    return next((status for status in ancestors if status), HTTPStatus.INTERNAL_SERVER_ERROR)
