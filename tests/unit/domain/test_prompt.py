import numpy as np
import pytest

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.prompt import Prompt
from cleanplate.errors import PromptError


@pytest.mark.parametrize(
    "parts",
    [
        {"points": (Point(1, 1),)},
        {"points": (Point(1, 1, positive=False), Point(2, 2))},
        {"box": Box(0, 0, 2, 2)},
        {"points": (Point(1, 1, positive=False),), "previous": np.zeros((4, 4), dtype=np.float32)},
    ],
)
def test_a_prompt_that_points_at_something_is_made(parts) -> None:
    assert Prompt(**parts).points == parts.get("points", ())


def test_only_negative_points_are_no_prompt() -> None:
    with pytest.raises(PromptError, match="positive point"):
        Prompt(points=(Point(1, 1, positive=False),))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(PromptError):
        Prompt()


@pytest.mark.parametrize("box", [Box(2, 2, 2, 5), Box(5, 0, 2, 5)])
def test_a_box_without_area_is_refused(box) -> None:
    with pytest.raises(PromptError, match="no area"):
        Prompt(box=box)
