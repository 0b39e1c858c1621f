"""What Label Studio sends, parsed once at the door. Everything behind this module works with these values."""

import json
import math
import re
from enum import StrEnum
from typing import Annotated, Any, Final, NoReturn, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
)

from cleanplate.errors import PayloadError

MAX_DEPTH: Final = 100
MAX_INTEGER_CHARACTERS: Final = 40
"""What 128 bits need, as image hashes in a task's data; longer numbers cost time to read and fit nothing."""

_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile(rf"[0-9]{{{MAX_INTEGER_CHARACTERS}}}")
_PROJECT = re.compile(r"([0-9]{1,19})(?:\.[0-9]{1,19})?")


def loads(body: bytes) -> Any:
    """Read JSON more strictly than the standard library does.

    Raises:
        PayloadError: It is not UTF-8, not JSON, nested deeper than MAX_DEPTH, or holds NaN, an endless number, the
            same key twice or half a surrogate pair.
    """
    if not body.strip():
        raise PayloadError("the body is empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError(f"not UTF-8 at byte {error.start}") from None
    if text.startswith("\N{BYTE ORDER MARK}"):
        raise PayloadError("JSON must not begin with a byte order mark")
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            # Brush strokes are long lists of small numbers: looking at each would take most of the time.
            parse_int=_integer if _LONG_NUMBER.search(text) else None,
            parse_float=_number,
            parse_constant=_not_a_number,
        )
    except json.JSONDecodeError as error:
        raise PayloadError(f"not JSON: {error.msg} at character {error.pos}") from None
    _check_surrogates(text, value)
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match[0]
        if token in {"[", "{"}:
            depth += 1
            if depth > MAX_DEPTH:
                raise PayloadError(f"JSON nested deeper than {MAX_DEPTH}")
        elif token in {"]", "}"}:
            depth -= 1


def _check_surrogates(text: str, value: Any) -> None:
    if not _SURROGATE.search(text):
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise PayloadError("JSON holds half a surrogate pair") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise PayloadError("JSON holds the same key twice in one object")
    return result


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_CHARACTERS:
        raise PayloadError(f"JSON holds a whole number of {len(text)} characters")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise PayloadError("JSON holds a number beyond all bounds")
    return number


def _not_a_number(text: str) -> NoReturn:
    raise PayloadError(f"{text} is not JSON")


def _many(value: Any) -> Any:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _objects(value: Any) -> Any:
    """Those of a list that say what they are; some of Label Studio's answers hold ids alone."""
    return tuple(item for item in _many(value) if not isinstance(item, int))


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _project_id(value: Any) -> Any:
    match = _PROJECT.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else value


Id = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
ProjectStamp = Annotated[Id | None, BeforeValidator(_project_id)]
"""What Label Studio calls a project towards an ML backend: `<id>.<when it was created>`."""

Text = Annotated[str, BeforeValidator(_text)]
"""Text that others wrote: a missing one is empty, and a number stands for its digits."""


class Payload(BaseModel):
    """A piece of Label Studio's JSON. Fields it does not name are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Make one from what `loads` returned.

        Raises:
            PayloadError: It does not fit; the message names the field, never its value.
        """
        if not isinstance(value, dict):
            raise PayloadError(f"{cls.__name__} must be a JSON object, this is {_json_kind(value)}")
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            message = f"{cls.__name__}: {field}: {first['msg']}"
        raise PayloadError(message)

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Make one from the bytes of a request or an answer. Raises PayloadError."""
        return cls.parse(loads(body))


def _json_kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return kinds.get(type(value), "something else")


class ResultItem(Payload):
    """The JSON of a region, of a prompt, or of a choice, a text, a relation … that belongs to an annotation.

    Attributes:
        value: its geometry and labels, in percent of the image.
        item_index: which of several images of one Image tag it was drawn on.
    """

    id: Text = ""
    from_name: Text = ""
    to_name: Text = ""
    type: Text = ""
    value: dict[str, Any] = Field(default_factory=dict)
    original_width: StrictInt | StrictFloat | None = None
    original_height: StrictInt | StrictFloat | None = None
    image_rotation: StrictInt | StrictFloat | None = None
    item_index: StrictInt | None = None
    is_positive: bool | None = None
    origin: Text = ""


class Annotation(Payload):
    """What a person submitted for a task."""

    id: Id
    task: Id | None = None
    project: Id | None = None
    result: tuple[ResultItem, ...] = ()
    was_cancelled: bool = False
    ground_truth: bool = False
    updated_at: AwareDatetime | None = None


class Draft(Payload):
    """What one person has drawn but not submitted yet."""

    id: Id | None = None
    annotation: Id | None = None
    result: tuple[ResultItem, ...] = ()


class Prediction(Payload):
    """What a model proposed for a task. Its result may be long, and is not read."""

    id: Id
    model_version: Text = ""


class Task(Payload):
    """An image to be annotated, with what was annotated and proposed so far."""

    id: Id
    project: Id | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    meta: dict[str, Any] | None = None
    updated_at: AwareDatetime | None = None
    annotations: Annotated[tuple[Annotation, ...], BeforeValidator(_many)] = ()
    drafts: Annotated[tuple[Draft, ...], BeforeValidator(_many)] = ()
    predictions: Annotated[tuple[Prediction, ...], BeforeValidator(_objects)] = ()


class Context(Payload):
    """The prompts of one interactive request."""

    result: tuple[ResultItem, ...] = ()


class Params(Payload):
    """The part of a predict request that tells a click from everything else."""

    context: Context | None = None


class PredictRequest(Payload):
    """`POST /predict`. Without a context it is a task being opened, or "retrieve predictions" for many tasks."""

    tasks: tuple[Task, ...]
    project_id: ProjectStamp = Field(default=None, validation_alias="project")
    label_config: str = ""
    params: Params = Params()

    @property
    def prompts(self) -> tuple[ResultItem, ...] | None:
        """The prompts; None if nobody clicked."""
        return self.params.context.result if self.params.context else None


class SetupRequest(Payload):
    """`POST /setup`. The access token that comes with it is not read: it may not work, and it is a secret."""

    project_id: ProjectStamp = Field(default=None, validation_alias="project")
    label_config: str = Field(default="", validation_alias="schema")
    hostname: Text = ""
    extra_params: Any = None


class WebhookAction(StrEnum):
    """The events after which an annotation may need a new copy, or need none any more."""

    ANNOTATION_CREATED = "ANNOTATION_CREATED"
    ANNOTATIONS_CREATED = "ANNOTATIONS_CREATED"
    ANNOTATION_UPDATED = "ANNOTATION_UPDATED"
    ANNOTATIONS_DELETED = "ANNOTATIONS_DELETED"
    TASKS_CREATED = "TASKS_CREATED"
    TASKS_DELETED = "TASKS_DELETED"
    PROJECT_UPDATED = "PROJECT_UPDATED"


class Reference(Payload):
    """The ids of something a webhook speaks of."""

    id: Id
    task: Id | None = None
    project: Id | None = None


References = Annotated[tuple[Reference, ...], BeforeValidator(_many)]


class WebhookEvent(Payload):
    """The ids in a webhook's body. They are a hint and nothing more: everything else is asked from Label Studio."""

    action: Annotated[str, Field(min_length=1, max_length=64)]
    project: Reference | None = None
    task: References = ()
    tasks: References = ()
    annotation: References = ()
    annotations: References = ()

    @property
    def is_known(self) -> bool:
        """Whether the event is one that can change which copies there should be."""
        return self.action in set(WebhookAction)

    @property
    def project_id(self) -> int | None:
        """The project it is about; None in a webhook without a payload."""
        if self.project:
            return self.project.id
        things = (*self.task, *self.tasks, *self.annotation, *self.annotations)
        return next((thing.project for thing in things if thing.project), None)

    @property
    def task_ids(self) -> tuple[int, ...]:
        """The tasks it names, each once."""
        named = [task.id for task in (*self.task, *self.tasks)]
        owners = [annotation.task for annotation in (*self.annotation, *self.annotations) if annotation.task]
        return tuple(dict.fromkeys(named + owners))

    @property
    def annotation_ids(self) -> tuple[int, ...]:
        """The annotations it names, each once."""
        return tuple(dict.fromkeys(thing.id for thing in (*self.annotation, *self.annotations)))


# Answers of its API


class User(Payload):
    """The person a token belongs to."""

    id: Id
    email: Text = ""


class Project(Payload):
    """A project and its labelling config.

    Attributes:
        model_version: whose predictions it uses: the version they have, or the title of the ML backend.
    """

    id: Id
    title: Text = ""
    label_config: Text = ""
    model_version: Text = ""


class Upload(Payload):
    """A file that was uploaded to a project; *file* is its path below `/data/`."""

    id: Id
    file: Annotated[str, Field(min_length=1)]


class MlBackend(Payload):
    """An ML backend that is connected to a project. *state* is CO while Label Studio reaches it."""

    id: Id
    url: Text = ""
    title: Text = ""
    state: Text = ""
    is_interactive: bool = False


class Webhook(Payload):
    """A webhook of a project, or of all projects if it names none."""

    id: Id
    project: Id | None = None
    url: Text = ""
    is_active: bool = True
    send_payload: bool = True
    send_for_all_actions: bool = False
    actions: tuple[str, ...] = ()
    headers: dict[str, str] = Field(default_factory=dict, repr=False)


class LocalStorage(Payload):
    """A folder of Label Studio's machine from which a project's images may come."""

    id: Id
    project: Id | None = None
    title: Text = ""
    path: Text = ""
    regex_filter: Text = ""
    recursive_scan: bool = False
    use_blob_urls: bool = False
