import pytest

from cleanplate.domain.policy import Action, Approval, Closing, Colour, Dilation, LabelPolicy
from cleanplate.errors import PolicyError
from cleanplate.label_studio.config import MAX_XML_CHARACTERS, LabelConfig, Severity

CLICK = '<KeyPointLabels name="kp" toName="image" smart="true"><Label value="Face"/></KeyPointLabels>'
GOOD_LABEL = '<Label value="Face" clean="remove" dilate="4%"/>'


def config(*controls: str, image: str = '<Image name="image" value="$image"/>') -> LabelConfig:
    return LabelConfig.from_xml(f"<View>{image}{''.join(controls)}</View>")


def brush(*labels: str, attributes: str = 'smart="false"') -> str:
    return f'<BrushLabels name="brush" toName="image" {attributes}>{"".join(labels)}</BrushLabels>'


def findings(config: LabelConfig, severity: Severity, approval: str = "submitted") -> list[str]:
    found = config.lint(Approval.from_text(approval))
    return [finding.message for finding in found if finding.severity is severity]


# Reading


def test_images_and_controls_are_read_in_their_order() -> None:
    read = config(
        '<RectangleLabels name="box" toName="image"><Label value="Car" alias="car"/></RectangleLabels>',
        brush('<Label value="Face"/>', '<View><Label value="Car" alias="car"/></View>'),
        '<Choices name="ok" toName="image"><Choice value="yes"/><Choice value="no"/></Choices>',
        '<TextArea name="note" toName="image"/>',
    )

    assert [(image.name, image.key) for image in read.images] == [("image", "image")]
    assert [(control.tag, control.name, control.labels) for control in read.controls] == [
        ("RectangleLabels", "box", ("car",)),
        ("BrushLabels", "brush", ("Face", "car")),
        ("Choices", "ok", ("yes", "no")),
        ("TextArea", "note", ()),
    ]


def test_tags_and_attributes_are_read_in_any_case() -> None:
    read = LabelConfig.from_xml(
        '<view><image name="i" value="$pic"/><brushlabels name="b" toname="i" SMART="False">'
        '<label value="Face" Clean=" Remove "/></brushlabels></view>'
    )

    assert read.images[0].key == "pic"
    assert not read.controls[0].smart
    assert read.policy().of("Face").action is Action.REMOVE


@pytest.mark.parametrize("value", ["", "image", "$a/$b", "http://x/$image", "$"])
def test_an_image_that_is_not_one_field_of_the_task_has_no_key(value) -> None:
    assert config(image=f'<Image name="image" value="{value}"/>').images[0].key is None


def test_an_image_with_several_pictures_has_no_key() -> None:
    assert config(image='<Image name="image" valueList="$images"/>').images[0].key is None


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("", "not XML"),
        ("<View>", "line 1, column 7"),
        ("<View></view>", "not XML"),
        ('<!DOCTYPE v [<!ENTITY a "b">]><View>&a;</View>', "DOCTYPE"),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd"><View/>', "DOCTYPE"),
        ("<View>&nbsp;</View>", "not XML"),
        ("<View>\x00</View>", "not XML"),
        ("<View>\ud800</View>", "characters"),
        (f"<View>{' ' * MAX_XML_CHARACTERS}</View>", "longer than"),
    ],
)
def test_xml_that_cannot_be_a_config_is_refused(xml, why) -> None:
    with pytest.raises(PolicyError, match=why):
        LabelConfig.from_xml(xml)


def test_a_billion_laughs_are_not_expanded() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))

    with pytest.raises(PolicyError, match="DOCTYPE"):
        LabelConfig.from_xml(f'<!DOCTYPE v [<!ENTITY l0 "ha">{laughs}]><View>&l9;</View>')


def test_a_config_may_be_as_deep_as_it_is_long() -> None:
    read = LabelConfig.from_xml("<View>" * 70_000 + '<Image name="i" value="$i"/>' + "</View>" * 70_000)

    assert read.images[0].name == "i"


# What is a prompt, a region, an output


@pytest.mark.parametrize(
    ("tag", "attributes", "prompt", "region", "output"),
    [
        ("KeyPointLabels", "", True, False, False),
        ("KeyPointLabels", 'smart="false"', True, False, False),
        ("RectangleLabels", "", True, False, False),
        ("RectangleLabels", 'smart="true"', True, False, False),
        ("RectangleLabels", 'smart="false"', False, True, True),
        ("RectangleLabels", 'smart="false" smartOnly="true"', True, False, False),
        ("EllipseLabels", "", False, True, False),
        ("EllipseLabels", 'smart="true"', True, False, False),
        ("BrushLabels", "", False, True, True),
        ("BrushLabels", 'smart="true"', False, True, True),
        ("BitmaskLabels", "", False, True, True),
        ("PolygonLabels", "", False, True, True),
        ("PolygonLabels", 'smart="true"', False, True, True),
        ("Brush", "", False, True, False),
        ("Rectangle", "", True, False, False),
        ("Choices", "", False, False, False),
        ("TextArea", "", False, False, False),
    ],
)
def test_the_tag_and_its_smart_attribute_tell_what_is_drawn(tag, attributes, prompt, region, output) -> None:
    control = config(f'<{tag} name="c" toName="image" {attributes}><Label value="Face"/></{tag}>').controls[0]

    assert (control.is_prompt, control.is_region, control.is_output) == (prompt, region, output)


def test_outputs_are_the_region_controls_of_that_image_with_that_label() -> None:
    read = config(
        CLICK,
        brush('<Label value="Face"/>'),
        '<PolygonLabels name="poly" toName="image"><Label value="Car"/><Label value="Face"/></PolygonLabels>',
        '<PolygonLabels name="other" toName="second"><Label value="Face"/></PolygonLabels>',
        image='<Image name="image" value="$image"/><Image name="second" value="$second"/>',
    )

    assert [control.name for control in read.output_controls("Face", "image")] == ["brush", "poly"]
    assert [control.name for control in read.output_controls("Car", "image")] == ["poly"]
    assert [control.name for control in read.output_controls("Face", "second")] == ["other"]
    assert read.output_controls("Tree", "image") == ()
    assert read.output_controls("Face", "third") == ()


# Policy


def test_a_policy_belongs_to_the_label_wherever_it_was_given() -> None:
    read = config(
        '<PolygonLabels name="poly" toName="image"><Label value="Face" dilate="6px"/></PolygonLabels>',
        brush('<Label value="Face" clean="remove"/>', '<Label value="Tree"/>'),
    )

    assert dict(read.policy().labels) == {"Face": LabelPolicy(Action.REMOVE, Dilation(px=6))}
    assert read.policy().of("Tree").action is Action.KEEP
    assert read.cleaned_labels == {"Face"}


def test_a_control_speaks_for_all_its_labels_but_those_that_speak_for_themselves() -> None:
    read = config(
        brush(
            '<Label value="Face"/>',
            '<Label value="Plate" dilate="6px"/>',
            '<Label value="Tree" clean="keep"/>',
            attributes='smart="false" clean="remove" dilate="4%"',
        )
    )

    assert dict(read.policy().labels) == {
        "Face": LabelPolicy(Action.REMOVE, Dilation(pct=4)),
        "Plate": LabelPolicy(Action.REMOVE, Dilation(px=6)),
        "Tree": LabelPolicy(Action.KEEP, Dilation(pct=4)),
    }


def test_the_same_policy_twice_is_no_contradiction() -> None:
    twice = config(brush(GOOD_LABEL), f'<PolygonLabels name="p" toName="image">{GOOD_LABEL}</PolygonLabels>')

    assert twice.policy().of("Face") == LabelPolicy(Action.REMOVE, Dilation(pct=4))


@pytest.mark.parametrize(
    ("other", "attribute"),
    [('clean="keep"', "clean"), ('dilate="5%"', "dilate"), ('dilate="4px"', "dilate")],
)
def test_two_policies_of_one_label_are_an_error_that_names_both_places(other, attribute) -> None:
    torn = config(
        brush(GOOD_LABEL), f'<PolygonLabels name="p" toName="image"><Label value="Face" {other}/></PolygonLabels>'
    )

    with pytest.raises(PolicyError, match="contradicts") as caught:
        torn.policy()
    assert '<Label value="Face"> in <PolygonLabels name="p">' in str(caught.value)
    assert '<Label value="Face"> in <BrushLabels name="brush">' in str(caught.value)
    assert [finding.attribute for finding in torn.lint() if finding.severity is Severity.ERROR] == [attribute]


@pytest.mark.parametrize(
    ("text", "dilation"),
    [("4%", Dilation(pct=4)), ("0.5 %", Dilation(pct=0.5)), (" 6px ", Dilation(px=6)), ("0px", Dilation())],
)
def test_a_dilation_is_a_share_or_pixels(text, dilation) -> None:
    assert (
        config(brush(f'<Label value="Face" clean="remove" dilate="{text}"/>')).policy().of("Face").dilation == dilation
    )


@pytest.mark.parametrize("text", ["4", "", "%", "px", "-1px", "4em", "4%%", "1e3px", "nan%", "٤%", "1234567px"])
def test_a_dilation_without_its_unit_is_refused(text) -> None:
    read = config(brush(f'<Label value="Face" clean="remove" dilate="{text}"/>'))

    with pytest.raises(PolicyError, match="neither a share of the object's size") as caught:
        read.policy()
    assert f'<Label value="Face"> in <BrushLabels name="brush">: dilate="{text}"' in str(caught.value)


@pytest.mark.parametrize("text", ["101%", "513px"])
def test_a_dilation_beyond_its_bounds_is_refused(text) -> None:
    read = config(brush(f'<Label value="Face" clean="remove" dilate="{text}"/>'))

    with pytest.raises(PolicyError, match=f'dilate="{text}": a dilation lies between'):
        read.policy()


def test_a_misspelt_action_is_an_error_with_a_suggestion() -> None:
    read = config(brush('<Label value="Face" clean="remvoe"/>'))

    with pytest.raises(PolicyError) as caught:
        read.policy()
    assert '<Label value="Face"> in <BrushLabels name="brush">: clean="remvoe"' in str(caught.value)
    assert 'did you mean "remove"?' in str(caught.value)


def test_an_action_that_is_nothing_like_another_gets_no_suggestion() -> None:
    with pytest.raises(PolicyError) as caught:
        config(brush('<Label value="Face" clean="xyz"/>')).policy()
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("action", ["replace", "background"])
def test_an_action_of_a_later_version_is_an_error_that_says_so(action) -> None:
    read = config(brush(f'<Label value="Face" clean="{action}"/>'))

    with pytest.raises(PolicyError, match=f'clean="{action}" is not available in this version'):
        read.policy()
    assert any("not available" in message for message in findings(read, Severity.ERROR))


def one_label(attributes: str) -> LabelConfig:
    return config(CLICK, brush(f'<Label value="Face" dilate="4%" {attributes}/>'))


def test_the_traditional_ways_are_read_with_what_belongs_to_them() -> None:
    read = config(
        brush(
            '<Label value="Text" clean="fill" fill=" #FFffff "/>',
            '<Label value="Face" clean="pixelate" cells="5"/>',
            '<Label value="Sky" clean="blur" reversible="Accepted" cells="16"/>',
        )
    )

    assert dict(read.policy().labels) == {
        "Text": LabelPolicy(Action.FILL, colour=Colour(255, 255, 255)),
        "Face": LabelPolicy(Action.PIXELATE, cells=5),
        "Sky": LabelPolicy(Action.BLUR, reversible=True, cells=16),
    }


def test_a_blur_must_be_asked_for_twice_and_the_refusal_says_why() -> None:
    once = one_label('clean="blur"')

    with pytest.raises(PolicyError, match=r"clean=\"blur\" can be undone: .* read back .*Hill et al\. 2016") as caught:
        once.policy()
    assert '<Label value="Face"> in <BrushLabels name="brush">' in str(caught.value)
    assert str(caught.value) in findings(once, Severity.ERROR)
    assert one_label('clean="blur" reversible="accepted"').policy().of("Face").action is Action.BLUR


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ('clean="fill" fill="red"', 'fill="red": it is no colour'),
        ('clean="pixelate" cells="0"', 'cells="0": a mosaic has 1 to 16 cells'),
        ('clean="pixelate" cells="17"', 'cells="17": a mosaic has 1 to 16 cells'),
        ('clean="pixelate" cells="8px"', 'cells="8px" is not a number of cells from 1 to 16'),
        ('clean="pixelate" cells="٨"', "is not a number of cells"),
        ('clean="blur" reversible="yes"', 'reversible="yes" can only be "accepted"'),
        ('clean="remove" close="1"', 'close="1" is neither a share of the object like "1%" nor "0"'),
        ('clean="remove" close="101%"', 'close="101%": the share of a hole lies between 0 and 100%'),
    ],
)
def test_an_attribute_without_meaning_is_an_error_that_names_it(attributes, why) -> None:
    with pytest.raises(PolicyError) as caught:
        one_label(attributes).policy()
    assert why in str(caught.value)
    assert '<Label value="Face"> in <BrushLabels name="brush">' in str(caught.value)


@pytest.mark.parametrize(("text", "pct"), [("1%", 1), ("2.5 %", 2.5), ("0", 0), ("0%", 0)])
def test_what_holes_are_closed_is_a_share_or_none(text, pct) -> None:
    assert one_label(f'clean="remove" close="{text}"').policy().of("Face").closing == Closing(pct)


def test_small_holes_are_closed_unless_the_config_says_otherwise() -> None:
    assert one_label('clean="remove"').policy().of("Face").closing == Closing(1)


@pytest.mark.parametrize(
    ("attributes", "warned"),
    [
        ('clean="remove" fill="#000000"', 'fill has no effect on clean="remove"'),
        ('clean="fill" cells="8"', 'cells has no effect on clean="fill"'),
        ('clean="pixelate" reversible="accepted"', 'reversible has no effect on clean="pixelate"'),
        ('clean="keep" close="0"', "close has no effect on a label whose regions are kept"),
    ],
)
def test_an_attribute_that_plays_no_part_is_warned_of(attributes, warned) -> None:
    assert any(warned in message for message in findings(one_label(attributes), Severity.WARNING))


@pytest.mark.parametrize("attributes", ['clean="pixelate"', 'clean="blur" reversible="accepted"'])
def test_what_may_be_read_back_gets_a_hint_that_names_better_ways(attributes) -> None:
    (hint,) = one_label(attributes).lint()

    assert hint.severity is Severity.HINT
    assert "Hill et al. 2016" in hint.message
    assert 'clean="fill" and clean="remove" leave nothing' in hint.message


def test_a_solid_fill_has_nothing_to_find_fault_with() -> None:
    assert one_label('clean="fill" fill="#202020"').lint() == ()


# Shadows

PERSON = '<Label value="Face" clean="remove" dilate="4%" shadow="Shadow"/>'
SHADE = '<Label value="Shadow" clean="remove" dilate="4%"/>'


def test_shadows_are_proposed_under_the_label_that_the_config_names() -> None:
    read = config(CLICK, brush(PERSON, SHADE))

    assert read.shadow_label("Face", "image") == "Shadow"
    assert read.shadow_label("Shadow", "image") is None
    assert read.has_shadows("image")
    assert read.lint() == ()


def test_a_config_that_names_no_shadow_has_none() -> None:
    read = config(CLICK, brush(GOOD_LABEL, SHADE))

    assert read.shadow_label("Face", "image") is None
    assert not read.has_shadows("image")


def test_a_shadow_named_by_a_control_is_not_its_own_shadow() -> None:
    read = config(
        CLICK,
        brush('<Label value="Face"/>', SHADE, attributes='smart="false" clean="remove" dilate="4%" shadow="Shadow"'),
    )

    assert read.shadow_label("Face", "image") == "Shadow"
    assert read.shadow_label("Shadow", "image") is None
    assert read.lint() == ()


def test_a_shadow_that_cannot_be_drawn_on_the_same_image_is_warned_of_and_not_proposed() -> None:
    two = '<Image name="image" value="$image"/><Image name="other" value="$other"/>'
    elsewhere = f'<BrushLabels name="b" toName="other" smart="false">{SHADE}</BrushLabels>'
    read = config(CLICK, brush(PERSON), elsewhere, image=two)

    assert any('shadow="Shadow" shows nothing' in message for message in findings(read, Severity.WARNING))
    assert read.shadow_label("Face", "image") is None


@pytest.mark.parametrize("shade", ['<Label value="Shadow"/>', '<Label value="Shadow" clean="keep"/>'])
def test_a_shadow_that_would_be_kept_is_warned_of(shade) -> None:
    assert any(
        "would be kept" in message for message in findings(config(CLICK, brush(PERSON, shade)), Severity.WARNING)
    )


@pytest.mark.parametrize(
    "stray",
    [
        '<Choices name="c" toName="image" clean="remove"><Choice value="x"/></Choices>',
        '<Choices name="c" toName="image"><Choice value="x" clean="remove"/></Choices>',
        '<View clean="remove"/>',
        '<BrushLabels name="b" toName="image" value="$labels" clean="remove"/>',
        '<Brush name="b" toName="image" dilate="4%"/>',
    ],
)
def test_a_policy_that_holds_for_no_label_is_an_error(stray) -> None:
    with pytest.raises(PolicyError, match="belongs on a <Label>"):
        config(brush(GOOD_LABEL), stray).policy()


def test_the_approval_is_part_of_the_policy() -> None:
    read = config(brush(GOOD_LABEL), '<Choices name="ok" toName="image"><Choice value="yes"/></Choices>')
    approval = Approval.from_text("choice:ok=yes")

    assert read.policy(approval).approval == approval


@pytest.mark.parametrize(
    ("text", "why"),
    [("choice:ok=no", 'needs <Choice value="no">'), ("choice:other=yes", 'needs <Choices name="other">')],
)
def test_an_approval_that_nobody_can_give_is_an_error(text, why) -> None:
    read = config(brush(GOOD_LABEL), '<Choices name="ok" toName="image"><Choice value="yes"/></Choices>')

    with pytest.raises(PolicyError, match=why):
        read.policy(Approval.from_text(text))
    assert any(why in message for message in findings(read, Severity.ERROR, text))


# Lint


def test_a_good_config_has_no_findings() -> None:
    box = '<RectangleLabels name="box" toName="image" smart="true"><Label value="Face"/></RectangleLabels>'

    assert config(CLICK, box, brush(GOOD_LABEL)).lint() == ()


def test_a_config_without_a_policy_makes_no_copies_and_lint_says_so() -> None:
    plain = config(CLICK, brush('<Label value="Face"/>'))
    keeping = config(CLICK, brush('<Label value="Face" clean="keep"/>'))

    assert not plain.policy().makes_copies
    assert any("no copies are made" in message for message in findings(plain, Severity.WARNING))
    assert any("no copies are made" in message for message in findings(keeping, Severity.WARNING))


def test_a_config_without_an_image_is_an_error() -> None:
    assert any("no <Image>" in message for message in findings(config(image=""), Severity.ERROR))


def test_an_image_without_a_key_is_an_error_if_copies_are_to_be_made() -> None:
    image = '<Image name="image" valueList="$images"/>'

    assert any(
        "one image per task" in message for message in findings(config(brush(GOOD_LABEL), image=image), Severity.ERROR)
    )
    assert not findings(config(brush('<Label value="Face"/>'), image=image), Severity.ERROR)


def test_several_images_are_fine() -> None:
    two = '<Image name="image" value="$image"/><Image name="second" value="$second"/>'

    assert config(CLICK, brush(GOOD_LABEL), image=two).lint() == ()


@pytest.mark.parametrize("tag", ["BrushLabels", "BitmaskLabels"])
def test_a_smart_brush_is_warned_of(tag) -> None:
    smart = config(f'<{tag} name="b" toName="image">{GOOD_LABEL}</{tag}>')
    plain = config(f'<{tag} name="b" toName="image" smart="false">{GOOD_LABEL}</{tag}>')

    assert findings(smart, Severity.WARNING) == [
        f'<{tag} name="b"> needs smart="false": a smart brush comes first in the toolbar and does nothing'
    ]
    assert not findings(plain, Severity.WARNING)


def test_smart_only_is_warned_of() -> None:
    click = CLICK.replace('smart="true"', 'smartOnly="true"')

    assert any(
        'smartOnly="true"' in message for message in findings(config(click, brush(GOOD_LABEL)), Severity.WARNING)
    )


def test_a_prompt_whose_answer_could_not_be_shown_is_warned_of() -> None:
    click = CLICK.replace("</", '<Label value="Car"/></')

    (message,) = findings(config(click, brush(GOOD_LABEL)), Severity.WARNING)

    assert message.startswith('<KeyPointLabels name="kp">: a click with "Car" shows nothing')


@pytest.mark.parametrize(
    "control",
    [
        f'<KeyPointLabels name="kp" toName="image">{GOOD_LABEL}</KeyPointLabels>',
        f'<RectangleLabels name="box" toName="image">{GOOD_LABEL}</RectangleLabels>',
        f'<Labels name="names" toName="image">{GOOD_LABEL}</Labels>',
        f'<Labels name="names" toName="text">{GOOD_LABEL}</Labels>',
    ],
)
def test_a_policy_for_a_label_that_nobody_can_draw_is_an_error(control) -> None:
    assert any("nobody can approve a region of it" in message for message in findings(config(control), Severity.ERROR))


def test_a_label_beside_a_bare_brush_can_be_drawn() -> None:
    names = f'<Labels name="names" toName="image">{GOOD_LABEL}</Labels>'

    assert config(names, '<Brush name="brush" toName="image" smart="false"/>').lint() == ()


def test_a_removed_label_without_a_dilation_gets_a_hint() -> None:
    (hint,) = config(brush('<Label value="Face" clean="remove"/>')).lint()

    assert (hint.severity, hint.tag, hint.attribute) == (Severity.HINT, '<Label value="Face">', "dilate")


def test_a_dilation_of_a_kept_label_is_warned_of() -> None:
    read = config(brush(GOOD_LABEL, '<Label value="Tree" dilate="4%"/>'))

    assert findings(read, Severity.WARNING) == [
        '<Label value="Tree">: dilate has no effect on a label whose regions are kept'
    ]


@pytest.mark.parametrize("attribute", ["prompt", "negative-prompt", "variants"])
def test_attributes_of_later_versions_get_a_hint(attribute) -> None:
    read = config(brush(GOOD_LABEL.replace("/>", f' {attribute}="4"/>')))

    assert any(f'{attribute}="…" has no effect in this version' in message for message in findings(read, Severity.HINT))


def test_rectangles_that_do_not_say_whether_they_are_prompts_get_a_hint() -> None:
    box = '<RectangleLabels name="box" toName="image"><Label value="Face"/></RectangleLabels>'

    assert any("counts as a prompt" in message for message in findings(config(box, brush(GOOD_LABEL)), Severity.HINT))


def test_the_worst_findings_come_first() -> None:
    read = config(
        '<KeyPointLabels name="kp" toName="image"><Label value="Car"/></KeyPointLabels>',
        brush('<Label value="Face" clean="remove"/>', '<Label value="Sky" clean="blur"/>', attributes=""),
    )
    severities = [finding.severity for finding in read.lint()]

    assert severities[0] is Severity.ERROR
    assert severities[-1] is Severity.HINT
    assert severities == sorted(severities, key=list(Severity).index)
