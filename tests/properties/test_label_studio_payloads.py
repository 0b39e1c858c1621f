"""Whatever bytes arrive: they are read as the standard library reads them, or refused with PayloadError."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cleanplate.errors import PayloadError
from cleanplate.label_studio.payloads import Annotation, PredictRequest, SetupRequest, Task, WebhookEvent, loads

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**38), max_value=10**38)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=10,
)

FIELDS = ["id", "project", "task", "tasks", "annotation", "annotations", "result", "value", "data", "action", "params"]
FIELDS += ["context", "schema", "label_config", "original_width", "type", "updated_at", "drafts", "is_positive"]

LOOKALIKES = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=10,
)


@given(value=JSON, ascii_only=st.booleans())
def test_whatever_json_can_hold_is_read_as_it_was_written(value: Any, *, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8")

    assert loads(body) == value


@given(body=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(PayloadError):
        loads(body)


@given(text=st.text(alphabet='[]{}",:0123456789.eE-\\ud8truefalsn ', max_size=60))
def test_what_is_read_is_what_the_standard_library_reads(text: str) -> None:
    try:
        value = loads(text.encode())
    except PayloadError:
        return
    assert value == json.loads(text)


@given(value=LOOKALIKES)
def test_any_json_is_parsed_or_refused(value: Any) -> None:
    for model in (PredictRequest, SetupRequest, WebhookEvent, Task, Annotation):
        with suppress(PayloadError):
            assert model.parse(value)


@given(value=LOOKALIKES)
def test_ids_that_come_out_of_a_webhook_are_always_ids(value: Any) -> None:
    try:
        event = WebhookEvent.parse({**value, "action": "ANNOTATION_UPDATED"} if isinstance(value, dict) else value)
    except PayloadError:
        return
    ids = [*event.task_ids, *event.annotation_ids, *([event.project_id] if event.project_id else [])]
    assert all(type(one) is int and 1 <= one < 2**63 for one in ids)
