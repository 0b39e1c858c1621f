import pytest

from cleanplate.domain.policy import (
    AVAILABLE,
    Action,
    Approval,
    Closing,
    Colour,
    Dilation,
    LabelPolicy,
    Policy,
    Way,
)
from cleanplate.errors import PolicyError


def test_a_dilation_adds_pixels_and_a_share_of_the_object() -> None:
    assert Dilation(px=3, pct=4).radius_px(200) == 11


@pytest.mark.parametrize(
    "wrong", [{"px": -1}, {"px": 513}, {"pct": -0.1}, {"pct": 101}, {"px": float("nan")}, {"pct": float("inf")}]
)
def test_a_dilation_out_of_bounds_is_refused(wrong) -> None:
    with pytest.raises(PolicyError, match="between 0 and 512px or 100%"):
        Dilation(**wrong)


@pytest.mark.parametrize("text", ["submitted", "ground_truth", "choice:review=ok", "choice:a b=c=d"])
def test_an_approval_is_read_and_written_the_same(text) -> None:
    assert str(Approval.from_text(f"  {text} ")) == text


def test_a_choice_names_its_control_and_its_value() -> None:
    assert Approval.from_text("choice: review = looks good ") == Approval(
        kind="choice", choice_control="review", choice_value="looks good"
    )


@pytest.mark.parametrize("text", ["", "Submitted", "choice:", "choice:review", "choice:=ok", "choice:review=", "a=b"])
def test_an_unknown_approval_is_refused_with_its_text(text) -> None:
    with pytest.raises(PolicyError, match="is none of submitted"):
        Approval.from_text(text)


def test_a_label_without_a_policy_is_kept() -> None:
    policy = Policy(labels={"Face": LabelPolicy(action=Action.REMOVE)})

    assert policy.of("Face").action is Action.REMOVE
    assert policy.of("Tree") == LabelPolicy(action=Action.KEEP, dilation=Dilation())


def test_a_policy_that_only_keeps_makes_no_copies() -> None:
    assert not Policy().makes_copies
    assert not Policy(labels={"Tree": LabelPolicy()}).makes_copies
    assert Policy(labels={"Tree": LabelPolicy(), "Face": LabelPolicy(action=Action.REMOVE)}).makes_copies


def test_a_policy_does_not_change_with_the_mapping_it_was_made_from() -> None:
    labels = {"Face": LabelPolicy(action=Action.REMOVE)}
    policy = Policy(labels=labels)

    labels.clear()

    assert policy.makes_copies


def test_a_colour_is_read_and_written_the_same() -> None:
    assert Colour.from_text(" #0aFf80 ") == Colour(10, 255, 128)
    assert str(Colour(10, 255, 128)) == "#0aff80"


@pytest.mark.parametrize(
    "text", ["", "black", "#000", "000000", "#00000g", "#0000000", "#\u0660\u0660\u0660\u0660\u0660\u0660"]
)
def test_what_is_no_colour_is_refused(text) -> None:
    with pytest.raises(PolicyError, match='no colour like "#000000"'):
        Colour.from_text(text)


@pytest.mark.parametrize("pct", [-0.1, 100.1, float("nan")])
def test_a_share_of_a_hole_out_of_bounds_is_refused(pct) -> None:
    with pytest.raises(PolicyError, match="between 0 and 100%"):
        Closing(pct)


@pytest.mark.parametrize("cells", [0, 17])
def test_a_mosaic_has_one_to_sixteen_cells(cells) -> None:
    with pytest.raises(PolicyError, match="1 to 16 cells"):
        LabelPolicy(cells=cells)


@pytest.mark.parametrize("action", [Action.REMOVE, Action.FILL, Action.PIXELATE, Action.KEEP])
def test_what_this_version_can_do_meets_no_objection(action) -> None:
    assert LabelPolicy(action).objection == ""


@pytest.mark.parametrize("action", [Action.REPLACE, Action.BACKGROUND])
def test_what_this_version_cannot_do_is_objected_to_with_what_it_can(action) -> None:
    assert action not in AVAILABLE
    assert LabelPolicy(action).objection == (
        "is not available in this version: it can do blur, fill, keep, pixelate, remove"
    )


def test_a_blur_is_done_only_if_somebody_accepted_that_it_can_be_undone() -> None:
    objection = LabelPolicy(Action.BLUR).objection

    assert "Hill et al. 2016" in objection
    assert 'reversible="accepted"' in objection
    assert LabelPolicy(Action.BLUR, reversible=True).objection == ""


def test_what_leaves_less_of_the_original_is_stronger() -> None:
    ways = [
        Way(Action.FILL),
        Way(Action.REMOVE),
        Way(Action.PIXELATE, cells=4),
        Way(Action.PIXELATE, cells=8),
        Way(Action.BLUR, cells=1),
    ]

    shuffled = [ways[number] for number in (3, 0, 4, 2, 1)]

    assert sorted(shuffled, key=lambda way: way.rank) == ways


def test_what_plays_no_part_in_an_action_makes_no_other_way_of_it() -> None:
    red = Colour(255, 0, 0)

    assert LabelPolicy(Action.REMOVE, colour=red, cells=3).way == LabelPolicy(Action.REMOVE).way
    assert LabelPolicy(Action.FILL, colour=red, cells=3).way == Way(Action.FILL, red)
    assert LabelPolicy(Action.PIXELATE, colour=red, cells=3).way == Way(Action.PIXELATE, cells=3)


def test_the_facts_of_a_policy_tell_apart_what_makes_other_copies_and_nothing_else() -> None:
    plain = LabelPolicy(Action.FILL)
    others = [
        LabelPolicy(Action.REMOVE),
        LabelPolicy(Action.FILL, Dilation(px=1)),
        LabelPolicy(Action.FILL, closing=Closing(0)),
        LabelPolicy(Action.FILL, colour=Colour(1, 0, 0)),
        LabelPolicy(Action.FILL, cells=4),
    ]

    assert len({plain.facts, *(other.facts for other in others)}) == 6
    assert LabelPolicy(Action.FILL, shadow="Shadow").facts == plain.facts
