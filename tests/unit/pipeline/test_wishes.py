import pytest

from cleanplate.errors import PolicyError
from cleanplate.label_studio.config import LabelConfig
from cleanplate.pipeline.wishes import Kind, kinds_from_text, label_for

CONFIG = LabelConfig.from_xml("""<View><Image name="image" value="$image"/><Image name="other" value="$other"/>
<KeyPointLabels name="kp" toName="image" smart="true"><Label value="Dog"/></KeyPointLabels>
<BrushLabels name="brush" toName="image" smart="false">
<Label value="Surface"/><Label value="A face"/><Label value="Licence plate"/><Label value="Passer-by"/></BrushLabels>
</View>""")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", ()),
        ("face", (Kind("face"),)),
        ("face, plate=Number plate", (Kind("face"), Kind("plate", "Number plate"))),
    ],
)
def test_what_to_detect_is_read(text: str, kinds: tuple[Kind, ...]) -> None:
    assert kinds_from_text(text) == kinds


@pytest.mark.parametrize("text", [",", "face,", "=Face", "face=", "face,face=Face"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"face=|face,plate=LABEL|twice"):
        kinds_from_text(text)


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (Kind("face"), "A face"),
        (Kind("plate"), "Licence plate"),
        (Kind("body"), "Passer-by"),
        (Kind("face", "Surface"), "Surface"),
        (Kind("face", "Nobody"), None),
        (Kind("dog"), None),
    ],
)
def test_the_label_is_the_one_named_or_the_first_that_speaks_of_it(kind: Kind, label: str | None) -> None:
    assert label_for(kind, CONFIG, "image") == label


def test_an_image_without_a_control_for_it_has_no_label() -> None:
    assert label_for(Kind("face"), CONFIG, "other") is None
