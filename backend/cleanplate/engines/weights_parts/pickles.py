"""Pickles, read and never executed.

A pickle is a program: whoever unpickles one calls what it names. Here its instructions are only looked at, one by one,
and what it would have made is written down. There is nothing in this file that could call anything it names.
"""

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cleanplate.errors import WeightsError


class Name(NamedTuple):
    """What a pickle would have imported."""

    module: str
    name: str


class Beside(NamedTuple):
    """What a pickle says lies beside it."""

    key: Any


@dataclass(eq=False)
class Made:
    """What a pickle would have made by calling something.

    Attributes:
        maker: what it would have called, mostly a Name.
        arguments: what with.
        state: what it would have given the object afterwards.
        entries: what it would have set under keys.
    """

    maker: Any
    arguments: Any
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)


def contents_of(pickle: bytes) -> Any:
    """What a pickle describes: plain values, lists (for sets, too), tuples, dicts, and Made in place of all else.

    Of a dict only what has a text or a number as its key is kept.

    Raises:
        WeightsError: It is damaged, or has instructions that no file of weights needs.
    """
    reading = _Reading()
    try:
        # A hostile file may have pickletools warn of its escapes; what is wrong with a file we say ourselves.
        with warnings.catch_warnings(action="ignore"):
            for operation, argument, _ in pickletools.genops(pickle):
                reading.follow(operation.name, argument)
        return reading.result()
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"its pickle is damaged: {error}") from error


_MARK: Final = object()


class _Reading:
    """The stack and the memory of the machine that pickles are written for."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def follow(self, operation: str, argument: Any) -> None:
        if operation in _VALUES:
            self._stack.append(argument)
        elif operation in _CONSTANTS:
            self._stack.append(_CONSTANTS[operation])
        elif operation in _EMPTY:
            self._stack.append(_EMPTY[operation]())
        elif operation in _ACTIONS:
            _ACTIONS[operation](self, argument)
        elif operation not in _IDLE:
            raise ValueError(f"no file of weights needs the instruction {operation}")

    def result(self) -> Any:
        (result,) = self._stack
        return result

    def mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def put(self, index: int) -> None:
        self._memory[index] = self._stack[-1]

    def memoize(self, _: Any) -> None:
        self._memory[len(self._memory)] = self._stack[-1]

    def get(self, index: int) -> None:
        self._stack.append(self._memory[index])

    def tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._marked()))

    def tuple_of_1(self, _: Any) -> None:
        self._stack.append(tuple(self._last(1)))

    def tuple_of_2(self, _: Any) -> None:
        self._stack.append(tuple(self._last(2)))

    def tuple_of_3(self, _: Any) -> None:
        self._stack.append(tuple(self._last(3)))

    def name(self, text: str) -> None:
        module, _, last = text.partition(" ")
        self._stack.append(Name(module, last))

    def name_of_2(self, _: Any) -> None:
        module, last = self._last(2)
        if not (isinstance(module, str) and isinstance(last, str)):
            raise ValueError("a name is a text")  # noqa: TRY004  (a damaged file, no programming error)
        self._stack.append(Name(module, last))

    def beside(self, _: Any) -> None:
        self._stack.append(Beside(self._stack.pop()))

    def call(self, _: Any) -> None:
        maker, arguments = self._last(2)
        self._stack.append(Made(maker, arguments))

    def build(self, _: Any) -> None:
        state = self._stack.pop()
        if not isinstance(self._stack[-1], Made):
            raise ValueError("only an object has a state")  # noqa: TRY004  (a damaged file, no programming error)
        self._stack[-1].state = state

    def append(self, _: Any) -> None:
        self._extend(self._last(1))

    def appends(self, _: Any) -> None:
        self._extend(self._marked())

    def set_item(self, _: Any) -> None:
        self._set(self._last(2))

    def set_items(self, _: Any) -> None:
        self._set(self._marked())

    def _last(self, count: int) -> list[Any]:
        """Take so many values off the stack."""
        values = self._stack[-count:]
        if len(values) < count or _MARK in values:
            raise ValueError("a value is missing")
        del self._stack[-count:]
        return values

    def _marked(self) -> list[Any]:
        """Take what lies above the last mark off the stack, and the mark."""
        start = len(self._stack) - 1
        while start >= 0 and self._stack[start] is not _MARK:
            start -= 1
        if start < 0:
            raise ValueError("a mark is missing")
        values = self._stack[start + 1 :]
        del self._stack[start:]
        return values

    def _extend(self, values: list[Any]) -> None:
        # What is appended to an object holds no weights.
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)

    def _set(self, flat: list[Any]) -> None:
        holder = self._stack[-1]
        entries = holder.entries if isinstance(holder, Made) else holder
        pairs = zip(flat[::2], flat[1::2], strict=True)
        # Other keys may be nested so deeply that hashing them overflows the C stack.
        entries.update((key, value) for key, value in pairs if isinstance(key, (str, int)))


_VALUES: Final = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
_CONSTANTS: Final[Mapping[str, object]] = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False})
_EMPTY: Final[Mapping[str, Callable[[], object]]] = MappingProxyType(
    {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
)
_ACTIONS: Final[Mapping[str, Callable[[_Reading, Any], None]]] = MappingProxyType(
    {
        "MARK": _Reading.mark,
        "BINPUT": _Reading.put,
        "LONG_BINPUT": _Reading.put,
        "MEMOIZE": _Reading.memoize,
        "BINGET": _Reading.get,
        "LONG_BINGET": _Reading.get,
        "TUPLE": _Reading.tuple,
        "TUPLE1": _Reading.tuple_of_1,
        "TUPLE2": _Reading.tuple_of_2,
        "TUPLE3": _Reading.tuple_of_3,
        "GLOBAL": _Reading.name,
        "STACK_GLOBAL": _Reading.name_of_2,
        "BINPERSID": _Reading.beside,
        "REDUCE": _Reading.call,
        "NEWOBJ": _Reading.call,
        "BUILD": _Reading.build,
        "APPEND": _Reading.append,
        "APPENDS": _Reading.appends,
        "ADDITEMS": _Reading.appends,
        "SETITEM": _Reading.set_item,
        "SETITEMS": _Reading.set_items,
    }
)
_IDLE: Final = frozenset({"PROTO", "FRAME", "STOP"})
