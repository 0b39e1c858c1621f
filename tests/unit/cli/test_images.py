import errno
import json
import os
import stat

import numpy as np
import pytest

from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.pipeline.plan import grid_of, touched
from fakes.image_files import encoded, photograph
from fakes.jpeg_files import HAS_JPEGLIB

LIMITS = ImageLimits()

KINDS = {
    "png": {},
    "jpg": {"quality": 90},
    "webp": {"lossless": True},
}

FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}


@pytest.fixture
def files(tmp_path):
    """A folder with an image of each format, in which something red stands, and the mask of that."""
    image = photograph()
    image[16:32, 20:36] = (250, 10, 10)
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    mask[14:34, 18:38] = 255
    for kind, options in KINDS.items():
        (tmp_path / f"photo.{kind}").write_bytes(encoded(image, FORMATS[kind], **options))
    (tmp_path / "mask.png").write_bytes(encoded(mask, "PNG"))
    return tmp_path


def written(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_differs_under_the_mask_and_nowhere_else(cleanplate, files, kind) -> None:
    answer = cleanplate("clean", files / f"photo.{kind}", files / "mask.png", files / f"clean.{kind}")

    assert answer.exit_code == 0
    original = picture_from_bytes((files / f"photo.{kind}").read_bytes(), LIMITS)
    copy = picture_from_bytes((files / f"clean.{kind}").read_bytes(), LIMITS)
    mask = np.zeros(original.image.shape[:2], dtype=np.bool_)
    mask[14:34, 18:38] = True
    red = (copy.image[mask].astype(int) - (250, 10, 10)).__abs__().max(axis=1) < 40
    assert not red.any()
    outside = ~touched(mask, grid_of(original.container))
    errors = np.abs(copy.image[outside].astype(int) - original.image[outside].astype(int))
    assert errors.max() <= (0 if original.container.lossless or HAS_JPEGLIB else 8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_was_made_is_found_to_keep_the_contract(cleanplate, files, kind) -> None:
    cleanplate("clean", files / f"photo.{kind}", files / "mask.png", files / f"clean.{kind}")

    answer = cleanplate("verify", files / f"photo.{kind}", files / f"clean.{kind}", files / "mask.png")

    assert answer.exit_code == 0
    assert "keeps the contract" in answer.stdout
    assert ("re-encoded" in answer.stdout) == (kind == "jpg" and not HAS_JPEGLIB)


def test_cleaning_prints_each_level_of_the_contract_and_the_file(cleanplate, files) -> None:
    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png", "--inpainter", "opencv")

    lines = answer.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["L1", "erasure"],
        ["L2", "coverage"],
        ["L3", "fidelity"],
        ["L4", "container"],
    ]
    assert lines[-1] == f"✓ {files / 'clean.png'}"


def test_the_json_of_a_copy_is_its_certificate(cleanplate, files) -> None:
    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png", "--json")

    certificate = json.loads(answer.stdout)
    assert certificate["engine"].startswith("exemplar")
    assert {clause["level"]: clause["verdict"] for clause in certificate["clauses"]} == dict.fromkeys(
        ("L1", "L2", "L3", "L4"), "pass"
    )


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_copy_with_one_changed_sample_outside_the_mask_breaks_the_contract(cleanplate, files, kind) -> None:
    cleanplate("clean", files / f"photo.{kind}", files / "mask.png", files / f"clean.{kind}")
    tampered = picture_from_bytes((files / f"clean.{kind}").read_bytes(), LIMITS).image.copy()
    tampered[0, 0, 0] ^= 1
    (files / f"clean.{kind}").write_bytes(encoded(tampered, FORMATS[kind], **KINDS[kind]))

    answer = cleanplate("verify", files / f"photo.{kind}", files / f"clean.{kind}", files / "mask.png")

    assert answer.exit_code == 1
    assert "breaks the contract" in answer.stdout


def test_the_original_is_no_copy_of_itself(cleanplate, files) -> None:
    (files / "other.png").write_bytes((files / "photo.png").read_bytes())

    answer = cleanplate("verify", files / "photo.png", files / "other.png", files / "mask.png", "--json")

    assert answer.exit_code == 1
    verification = json.loads(answer.stdout)
    assert not verification["passed"]
    assert next(clause for clause in verification["clauses"] if clause["level"] == "L2")["verdict"] == "fail"


def test_a_copy_that_is_no_image_breaks_the_contract(cleanplate, files) -> None:
    (files / "clean.png").write_bytes(b"nothing")

    assert cleanplate("verify", files / "photo.png", files / "clean.png", files / "mask.png").exit_code == 1


def test_a_copy_that_is_named_like_its_original_is_pointed_out(cleanplate, files) -> None:
    cleanplate("clean", files / "photo.png", files / "mask.png", files / "photo-clean.png")

    answer = cleanplate("verify", files / "photo.png", files / "photo-clean.png", files / "mask.png")

    assert answer.exit_code == 0
    assert "the copy's name contains the original's" in answer.stdout


def test_a_new_copy_has_the_permissions_that_the_user_s_umask_gives(cleanplate, files) -> None:
    before = os.umask(0o027)
    try:
        cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png")
    finally:
        os.umask(before)

    assert stat.S_IMODE((files / "clean.png").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["photo [1].png", "[bold]x[/bold].png", "[/x].png"])
def test_names_with_brackets_are_printed_as_they_are(cleanplate, files, name) -> None:
    folder = files / "[red]"
    folder.mkdir()
    image = folder / "[a] photo.png"
    image.write_bytes((files / "photo.png").read_bytes())
    (folder / name).parent.mkdir(parents=True, exist_ok=True)

    made = cleanplate("clean", image, files / "mask.png", folder / name)
    again = cleanplate("clean", image, files / "mask.png", folder / name)

    assert f"✓ {folder / name}" in made.stdout
    assert str(folder / name) in again.stderr


@pytest.mark.parametrize("json_option", [(), ("--json",)])
def test_an_existing_file_is_overwritten_only_by_force(cleanplate, files, json_option) -> None:
    (files / "clean.png").write_bytes(b"precious")
    arguments = ("clean", files / "photo.png", files / "mask.png", files / "clean.png", *json_option)

    refused = cleanplate(*arguments)

    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert (files / "clean.png").read_bytes() == b"precious"
    if json_option:
        assert json.loads(refused.stdout)["error"]["reason"] == "storage_conflict"

    assert cleanplate(*arguments, "--force").exit_code == 0
    assert (files / "clean.png").read_bytes() != b"precious"


@pytest.mark.parametrize("name", ["photo.png", "mask.png", "link.png"])
def test_an_original_is_never_overwritten_by_its_copy(cleanplate, files, name) -> None:
    (files / "link.png").symlink_to(files / "photo.png")
    before = (files / name).read_bytes()

    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / name, "--force")

    assert answer.exit_code == 1
    assert "name another file" in answer.stderr
    assert (files / name).read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "name", "right"),
    [
        ("jpg", "clean.png", "clean.jpg"),
        ("webp", "clean.jpg", "clean.webp"),
        ("png", "clean", "clean.png"),
    ],
)
def test_another_suffix_than_the_image_s_is_refused_with_the_right_one(cleanplate, files, kind, name, right) -> None:
    answer = cleanplate("clean", files / f"photo.{kind}", files / "mask.png", files / name)

    assert answer.exit_code == 1
    assert f"name it {right}" in answer.stderr
    assert not (files / name).exists()


@pytest.mark.parametrize("name", ["clean.JPG", "clean.jpeg"])
def test_every_suffix_of_a_jpeg_is_right(cleanplate, files, name) -> None:
    assert cleanplate("clean", files / "photo.jpg", files / "mask.png", files / name).exit_code == 0


def test_the_format_is_what_the_file_holds_not_what_it_is_called(cleanplate, files) -> None:
    (files / "photo.png").write_bytes((files / "photo.jpg").read_bytes())

    assert "clean.jpg" in cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png").stderr


def white(width, height):
    return encoded(np.full((height, width), 255, dtype=np.uint8), "PNG")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (white(64, 47), "64×47"),
        (encoded(np.zeros((48, 64), dtype=np.uint8), "PNG"), "empty"),
        (b"", "mask.png"),
        (b"not an image at all", "mask.png"),
        (white(64, 48)[:60], "mask.png"),
        (encoded(photograph(), "JPEG"), "a mask must be a PNG"),
    ],
)
def test_a_mask_that_cannot_be_used_is_refused_with_a_sentence_and_nothing_is_written(
    cleanplate, files, content, words
) -> None:
    (files / "mask.png").write_bytes(content)
    before = written(files)

    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png")

    assert answer.exit_code == 1
    assert words in answer.stderr
    assert written(files) == before
    assert cleanplate("verify", files / "photo.png", files / "photo.png", files / "mask.png").exit_code == 1


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg/>", encoded(photograph(), "PNG")[:200]])
def test_an_image_that_cannot_be_used_is_refused_by_its_name(cleanplate, files, content) -> None:
    (files / "photo.png").write_bytes(content)

    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png")

    assert answer.exit_code == 1
    assert str(files / "photo.png") in answer.stderr
    assert not (files / "clean.png").exists()


def test_the_limits_of_the_settings_hold(cleanplate, files, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_MAX_IMAGE_PIXELS", "100")

    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png", "--json")

    assert json.loads(answer.stdout)["error"]["reason"] == "image_too_large"


def test_of_a_file_that_is_too_long_no_more_is_read_than_shows_it(cleanplate, files, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_MAX_IMAGE_BYTES", "1000")

    answer = cleanplate("clean", "/dev/zero", files / "mask.png", files / "clean.png", "--json")

    assert json.loads(answer.stdout)["error"]["reason"] in {"image_too_large", "not_an_image"}


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_file_is_named(cleanplate, files, missing) -> None:
    paths = [files / "photo.png", files / "mask.png", files / "clean.png"]
    paths[missing].unlink()

    answer = cleanplate("clean", *paths)

    assert answer.exit_code == 2
    assert "does not exist" in answer.stderr


def test_a_file_that_cannot_be_read_is_named_with_the_reason(cleanplate, files) -> None:
    # Reading this one fails with an I/O error, whoever asks.
    answer = cleanplate("clean", "/proc/self/mem", files / "mask.png", files / "clean.png")

    assert answer.exit_code == 1
    assert "/proc/self/mem cannot be read" in answer.stderr


@pytest.mark.parametrize(("name", "words"), [("nowhere/clean.png", "no folder"), (".", "is a folder")])
def test_a_place_that_no_file_can_have_is_refused(cleanplate, files, name, words) -> None:
    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / name)

    assert answer.exit_code == 1
    assert words in answer.stderr


def test_a_name_that_no_file_can_have_is_refused(cleanplate, files) -> None:
    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / f"{'x' * 300}.png")

    assert answer.exit_code == 1
    assert "cannot be written" in answer.stderr


def test_a_copy_that_cannot_be_written_leaves_nothing_behind(cleanplate, files, monkeypatch) -> None:
    before = written(files)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png")

    assert answer.exit_code == 1
    assert "No space left on device" in answer.stderr
    assert written(files) == before


def test_an_inpainter_that_nobody_knows_names_those_there_are(cleanplate, files) -> None:
    answer = cleanplate(
        "clean", files / "photo.png", files / "mask.png", files / "clean.png", "--inpainter", "magic[1]"
    )

    assert answer.exit_code == 1
    assert "'magic[1]'" in answer.stderr
    assert "opencv" in answer.stderr
    assert not (files / "clean.png").exists()


def test_the_inpainter_of_the_settings_is_taken_unless_another_is_asked_for(cleanplate, files, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_INPAINTER", "magic")
    paths = (files / "photo.png", files / "mask.png", files / "clean.png")

    assert cleanplate("clean", *paths).exit_code == 1
    assert cleanplate("clean", *paths, "--inpainter", "opencv").exit_code == 0


def test_a_misspelt_setting_ends_with_its_sentence(cleanplate, files, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_INPAINTR", "opencv")

    answer = cleanplate("clean", files / "photo.png", files / "mask.png", files / "clean.png")

    assert answer.exit_code == 1
    assert "did you mean CLEANPLATE_INPAINTER" in answer.stderr
