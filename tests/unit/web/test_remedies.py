from collections.abc import Iterator

import pytest

from cleanplate.errors import CleanplateError
from cleanplate.web.remedies import remedy_for


def kinds(kind: type[CleanplateError]) -> Iterator[type[CleanplateError]]:
    for child in kind.__subclasses__():
        if child.__module__ == "cleanplate.errors":
            yield child
            yield from kinds(child)


@pytest.mark.parametrize("reason", sorted({kind.reason for kind in kinds(CleanplateError)} - {"job"}))
def test_every_reason_has_a_remedy_of_its_own(reason: str) -> None:
    assert remedy_for(reason) != remedy_for("no such reason")


def test_an_unknown_reason_has_a_remedy_too() -> None:
    assert "log" in remedy_for("no such reason")
