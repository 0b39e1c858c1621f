import pytest

from cleanplate.domain.policy import Action, Approval, Dilation, LabelPolicy, Policy
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
