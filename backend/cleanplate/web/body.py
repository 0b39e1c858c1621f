from flask import Request

from cleanplate.web.refusals import BodyIncompleteError


def body_of(request: Request) -> bytes:
    """The whole body; Admission has made sure that it says how long it is, and is not too long.

    Raises:
        BodyIncompleteError: Fewer bytes came. What there is of it is never parsed.
    """
    length = request.content_length or 0
    body: bytes = request.environ["wsgi.input"].read(length)
    if len(body) != length:
        raise BodyIncompleteError(f"{len(body)} of {length} bytes came")
    return body
