"""Why a request is not let in. Only HTTP knows these errors, so they are not in the tree of `errors`."""

from http import HTTPStatus
from typing import ClassVar

from cleanplate.errors import CleanplateError


class RequestRefusedError(CleanplateError):
    """A request that is turned away before any work is done for it."""

    reason = "bad_request"
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST
    challenge: ClassVar[str] = ""
    """What `WWW-Authenticate` says."""


class BadHostError(RequestRefusedError):
    """The Host header is missing, malformed, or not a name of this server."""

    reason = "bad_host"


class CrossOriginError(RequestRefusedError):
    """Another site's page in somebody's browser sent this request."""

    reason = "cross_origin"
    status = HTTPStatus.FORBIDDEN


class UnauthorizedError(RequestRefusedError):
    """User and password are missing or wrong."""

    reason = "unauthorized"
    status = HTTPStatus.UNAUTHORIZED
    challenge = 'Basic realm="cleanplate", charset="UTF-8"'


class WrongSecretError(RequestRefusedError):
    """The webhook's secret header is missing or wrong."""

    reason = "wrong_secret"
    status = HTTPStatus.UNAUTHORIZED
    challenge = "Secret"


class LengthRequiredError(RequestRefusedError):
    """The body comes in chunks, so nobody knows beforehand how long it will be."""

    reason = "length_required"
    status = HTTPStatus.LENGTH_REQUIRED


class BodyTooLargeError(RequestRefusedError):
    """The body is over the limit; it was not read."""

    reason = "body_too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class BodyEncodedError(RequestRefusedError):
    """The body is compressed; what it would become is not known beforehand."""

    reason = "body_encoded"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class BodyIncompleteError(RequestRefusedError):
    """Fewer bytes came than the Content-Length header announced."""

    reason = "body_incomplete"


class NoTrainingError(RequestRefusedError):
    """Somebody asked for a training."""

    reason = "no_training"
    status = HTTPStatus.NOT_IMPLEMENTED
