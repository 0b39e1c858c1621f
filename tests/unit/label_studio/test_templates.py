from pathlib import Path

import pytest

from cleanplate.domain.policy import Approval
from cleanplate.label_studio.config import LabelConfig

TEMPLATES = sorted((Path(__file__).parents[3] / "label_config").glob("*.xml"))


@pytest.fixture(params=TEMPLATES, ids=lambda path: path.stem)
def template(request) -> LabelConfig:
    return LabelConfig.from_xml(request.param.read_text(encoding="utf-8"))


def test_there_are_templates() -> None:
    assert {path.stem for path in TEMPLATES} >= {"privacy", "privacy-reviewed", "remove-objects", "polygons", "boxes"}


def test_a_template_has_nothing_to_find_fault_with(template) -> None:
    assert template.lint() == ()


def test_a_template_makes_copies_of_one_image_per_task(template) -> None:
    assert template.policy().makes_copies
    assert [(image.name, image.key) for image in template.images] == [("image", "image")]


def test_every_label_that_can_be_clicked_is_answered_in_one_shape(template) -> None:
    clicked = [label for control in template.controls if control.is_prompt for label in control.labels]

    assert clicked
    assert {len(template.output_controls(label, "image")) for label in clicked} == {1}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_says_what_it_is_for_before_it_begins(path) -> None:
    assert path.read_text(encoding="utf-8").startswith("<!--\n  ")


def test_the_reviewed_template_offers_the_choice_its_comment_names() -> None:
    text = next(path for path in TEMPLATES if path.stem == "privacy-reviewed").read_text(encoding="utf-8")
    approval = Approval.from_text("choice:review=Approved")

    assert f"CLEANPLATE_APPROVAL={approval}." in text
    assert LabelConfig.from_xml(text).lint(approval) == ()
