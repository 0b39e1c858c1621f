"""`cleanplate clean` on whole folders."""

import json
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from cleanplate.cli import folders
from cleanplate.codecs.images import ImageLimits, mask_from_png, picture_from_bytes
from cleanplate.pipeline import clean as cleaning
from fakes.image_files import encoded, photograph

LIMITS = ImageLimits()


def picture(shade: int = 0) -> np.ndarray:
    image = np.clip(photograph().astype(int) + shade, 0, 255).astype(np.uint8)
    image[16:32, 20:36] = (250, 10, 10)
    return image


def mask() -> bytes:
    covered = np.zeros((48, 64), dtype=np.uint8)
    covered[14:34, 18:38] = 255
    return encoded(covered, "PNG")


def redness(path) -> float:
    image = picture_from_bytes(path.read_bytes(), LIMITS).image[14:34, 18:38].astype(int)
    return float((image[..., 0] - image[..., 1] > 120).mean())


@pytest.fixture
def here(tmp_path):
    """Two images with masks, one of them further down; `images`, `masks`, and `copies` that is not there yet."""
    for folder in ("images/day 1", "masks/day 1"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "images" / "a.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "images" / "day 1" / "b.JPG").write_bytes(encoded(picture(20), "JPEG", quality=90))
    (tmp_path / "masks" / "a.png").write_bytes(mask())
    (tmp_path / "masks" / "day 1" / "b.png").write_bytes(mask())
    return tmp_path


@pytest.fixture
def run(cleanplate, here):
    return lambda *options: cleanplate("clean", here / "images", here / "masks", here / "copies", *options)


def lines(answer):
    *results, summary = [json.loads(line) for line in answer.stdout.splitlines()]
    return {result["image"]: result for result in results}, summary["summary"]


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_image_gets_its_copy_at_the_same_place_with_the_extension_of_its_format(run, here) -> None:
    answer = run()

    assert answer.exit_code == 0
    assert files_below(here / "copies") == ["a.png", "day 1/b.jpg"]
    assert redness(here / "copies" / "a.png") == redness(here / "copies" / "day 1" / "b.jpg") == 0
    assert "2 made" in answer.stdout
    assert str(here / "copies") in answer.stdout


def test_each_copy_is_found_to_keep_the_contract(run, cleanplate, here) -> None:
    run()

    for image, copy, hidden in (("a.png", "a.png", "a.png"), ("day 1/b.JPG", "day 1/b.jpg", "day 1/b.png")):
        answer = cleanplate("verify", here / "images" / image, here / "copies" / copy, here / "masks" / hidden)
        assert answer.exit_code == 0, answer.stdout


def test_with_json_there_is_a_line_for_each_image_and_one_for_all(run, here) -> None:
    results, summary = lines(run("--json", "--inpainter", "opencv"))

    assert set(results) == {"a.png", "day 1/b.JPG"}
    assert results["a.png"] == {
        "image": "a.png",
        "outcome": "made",
        "copy": str(here / "copies" / "a.png"),
        "reason": "",
        "message": "",
        "re_encoded": False,
        "second_look": [],
    }
    assert summary == {"made": 2, "unchanged": 0, "nothing found": 0, "no mask": 0, "failed": 0, "left": 0}


def test_a_second_run_makes_nothing_again(run, here, monkeypatch) -> None:
    run()
    before = {name: (here / "copies" / name).stat().st_mtime_ns for name in files_below(here / "copies")}
    monkeypatch.setattr(cleaning, "fill", None)

    _, summary = lines(run("--json"))

    assert (summary["made"], summary["unchanged"]) == (0, 2)
    assert {name: (here / "copies" / name).stat().st_mtime_ns for name in files_below(here / "copies")} == before


def test_a_run_that_was_broken_off_goes_on_where_it_was(run, here, monkeypatch) -> None:
    real = folders.FolderRun.result_of

    def stop_at_b(self, item):
        if item.name.stem == "b":
            raise KeyboardInterrupt
        return real(self, item)

    with monkeypatch.context() as stopping:
        stopping.setattr(folders.FolderRun, "result_of", stop_at_b)
        stopped = run()
    assert stopped.exit_code == 130
    assert "Stopped with 1 to go" in stopped.stderr
    assert files_below(here / "copies") == ["a.png"]

    _, summary = lines(run("--json"))

    assert (summary["made"], summary["unchanged"]) == (1, 1)


def test_a_copy_that_was_noted_but_not_written_is_made(run, here, monkeypatch) -> None:
    def killed(_path, _content):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(folders, "write", killed)
        run()
    assert not (here / "copies").exists() or files_below(here / "copies") == []

    assert run().exit_code == 0
    assert files_below(here / "copies") == ["a.png", "day 1/b.jpg"]


@pytest.mark.parametrize(
    "change",
    [
        lambda here: (here / "images" / "a.png").write_bytes(encoded(picture(50), "PNG")),
        lambda here: (here / "masks" / "a.png").write_bytes(encoded(np.full((48, 64), 255, dtype=np.uint8), "PNG")),
        lambda here: (here / "copies" / "a.png").write_bytes(b"somebody's own"),
    ],
    ids=["the image changed", "the mask changed", "the copy changed"],
)
def test_what_is_not_as_it_was_is_overwritten_only_by_force(run, here, change) -> None:
    run()
    change(here)
    before = (here / "copies" / "a.png").read_bytes()

    refused, _ = lines(run("--json"))
    assert refused["a.png"]["reason"] == "storage_conflict"
    assert refused["day 1/b.JPG"]["outcome"] == "unchanged"
    assert (here / "copies" / "a.png").read_bytes() == before

    made, _ = lines(run("--force", "--json"))
    assert made["a.png"]["outcome"] == "made"
    assert redness(here / "copies" / "a.png") == 0


def test_a_copy_that_was_deleted_is_made_again(run, here) -> None:
    run()
    (here / "copies" / "a.png").unlink()

    _, summary = lines(run("--json"))

    assert (summary["made"], summary["unchanged"]) == (1, 1)


@pytest.mark.parametrize("options", [("--dilate", "6px"), ("--action", "fill"), ("--inpainter", "exemplar")])
def test_another_wish_is_another_copy(run, options) -> None:
    run("--inpainter", "opencv")

    results, _ = lines(run("--json", *(options if "--inpainter" in options else ("--inpainter", "opencv", *options))))

    assert results["a.png"]["reason"] == "storage_conflict"


def test_one_bad_file_does_not_stop_the_others_and_is_named_at_the_end(run, here) -> None:
    (here / "images" / "0 broken.png").write_bytes(encoded(picture(), "PNG")[:300])
    (here / "images" / "0 no image.jpg").write_bytes(b"nothing")
    (here / "masks" / "0 broken.png").write_bytes(mask())

    answer = run()

    assert answer.exit_code == 1
    assert "2 failed" in answer.stdout
    assert "2 made" in answer.stdout
    assert "0 broken.png" in answer.stdout
    assert "0 no image.jpg" in answer.stdout
    assert files_below(here / "copies") == ["a.png", "day 1/b.jpg"]


def test_not_even_a_mistake_of_ours_stops_the_others(run, here, monkeypatch) -> None:
    real = folders.Original.from_bytes

    def wrong(content, limits):
        if content.startswith(b"\x89PNG"):
            raise ZeroDivisionError
        return real(content, limits)

    class Log:
        error = staticmethod(lambda *_, exc_info: logged.append(exc_info))

    logged = []
    monkeypatch.setattr(folders.Original, "from_bytes", wrong)
    monkeypatch.setattr(folders, "_log", Log)

    results, _ = lines(run("--json"))

    assert (results["a.png"]["outcome"], results["a.png"]["reason"]) == ("failed", "internal")
    assert [type(error) for error in logged] == [ZeroDivisionError]
    assert files_below(here / "copies") == ["day 1/b.jpg"]


def test_an_image_without_a_mask_is_named_and_not_copied(run, here) -> None:
    (here / "masks" / "a.png").unlink()

    answer = run()

    assert answer.exit_code == 1
    assert "1 without a mask, not copied" in answer.stdout
    assert f"there is no mask {here / 'masks' / 'a.png'}" in answer.stdout
    assert files_below(here / "copies") == ["day 1/b.jpg"]


def test_an_empty_mask_makes_no_copy(run, here) -> None:
    (here / "masks" / "a.png").write_bytes(encoded(np.zeros((48, 64), dtype=np.uint8), "PNG"))

    results, _ = lines(run("--json"))

    assert results["a.png"]["reason"] == "nothing_to_remove"
    assert files_below(here / "copies") == ["day 1/b.jpg"]


def test_two_images_that_would_have_the_same_copy_are_both_refused(run, here) -> None:
    (here / "images" / "A.PNG").write_bytes(encoded(picture(9), "PNG"))
    (here / "masks" / "A.png").write_bytes(mask())

    answer = run()

    assert answer.exit_code == 1
    assert "several images would have the copy" in answer.stdout
    assert files_below(here / "copies") == ["day 1/b.jpg"]


def test_renamed_copies_lie_in_one_folder_and_tell_nothing_and_the_second_run_knows_them(run, here) -> None:
    (here / "images" / "A.PNG").write_bytes((here / "images" / "a.png").read_bytes())
    (here / "masks" / "A.png").write_bytes(mask())

    assert run("--rename").exit_code == 0

    names = files_below(here / "copies")
    assert len(names) == 3
    assert all(len(name.partition(".")[0]) == 32 and "/" not in name for name in names)
    _, summary = lines(run("--rename", "--json"))
    assert summary["unchanged"] == 3


def test_the_ledger_has_the_private_record_of_each_copy(run, here) -> None:
    run()

    with sqlite3.connect(here / "data" / "ledger.sqlite3") as ledger:
        rows = dict(ledger.execute("SELECT path, certificate FROM outputs").fetchall())
    ledger.close()
    certificate = json.loads(rows[str(here / "copies" / "a.png")])
    assert {clause["level"]: clause["verdict"] for clause in certificate["clauses"]} == {
        "L1": "pass",
        "L2": "pass",
        "L3": "pass",
        "L4": "pass",
        "L5": "pass",
    }
    assert {"source", "mask", "copy", "engine", "parameters", "second_look"} <= set(certificate)


def test_links_are_named_and_nothing_behind_them_is_read(run, here) -> None:
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.png").write_bytes(encoded(picture(), "PNG"))
    (here / "images" / "link.png").symlink_to(elsewhere / "secret.png")
    (here / "images" / "folder").symlink_to(elsewhere)
    (here / "masks" / "link.png").write_bytes(mask())

    results, _ = lines(run("--json"))

    assert {name for name, result in results.items() if "symbolic link" in result["message"]} == {"link.png", "folder"}
    assert files_below(here / "copies") == ["a.png", "day 1/b.jpg"]


def test_a_pipe_is_named_and_nobody_waits_for_what_comes_through_it(run, here) -> None:
    os.mkfifo(here / "images" / "pipe.png")

    results, summary = lines(run("--json"))

    assert results["pipe.png"]["message"].endswith("is not a regular file")
    assert (summary["made"], summary["failed"]) == (2, 1)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have no such names")
@pytest.mark.parametrize("options", [[], ["--rename"]])
def test_a_name_that_is_not_utf_8_is_refused_with_a_sentence(run, here, options) -> None:
    for folder, content in (("images", encoded(picture(), "PNG")), ("masks", mask())):
        Path(os.fsdecode(os.fsencode(here / folder) + b"/caf\xe9.png")).write_bytes(content)

    answer = run(*options)

    assert "is not UTF-8: rename it" in answer.stdout
    assert "2 made, 1 failed" in answer.stdout


def test_a_mask_that_is_a_link_is_refused(run, here) -> None:
    (here / "masks" / "real.png").write_bytes(mask())
    (here / "masks" / "a.png").unlink()
    (here / "masks" / "a.png").symlink_to(here / "masks" / "real.png")

    results, _ = lines(run("--json"))

    assert "symbolic link" in results["a.png"]["message"]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_no_copy_is_written_through_a_link(run, here, what) -> None:
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (here / "copies").mkdir()
    if what == "folder":
        (here / "copies" / "day 1").symlink_to(elsewhere)
    else:
        (here / "copies" / "day 1").mkdir()
        (here / "copies" / "day 1" / "b.jpg").symlink_to(elsewhere / "b.jpg")

    results, _ = lines(run("--force", "--json"))

    assert "symbolic link" in results["day 1/b.JPG"]["message"]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("masks", "out"),
    [
        ("masks", "images"),
        ("masks", "images/copies"),
        ("masks", "masks/copies"),
        ("masks", "."),
        ("masks", "same"),
        ("images", "copies"),
    ],
)
def test_folders_in_which_copies_could_be_taken_for_originals_are_refused(cleanplate, here, masks, out) -> None:
    (here / "same").symlink_to(here / "images")
    before = files_below(here / "images")

    answer = cleanplate("clean", here / "images", here / masks, here / out)

    assert answer.exit_code == 1
    assert "folder" in answer.stderr
    assert files_below(here / "images") == before


def test_masks_may_lie_in_a_folder_among_the_images(cleanplate, here) -> None:
    (here / "masks").rename(here / "images" / "masks")

    answer = cleanplate("clean", here / "images", here / "images" / "masks", here / "copies")

    assert answer.exit_code == 0
    assert files_below(here / "copies") == ["a.png", "day 1/b.jpg"]


def test_hidden_files_and_other_files_are_left_alone(run, here) -> None:
    (here / "images" / ".hidden.png").write_bytes(b"?")
    (here / "images" / ".thumbnails").mkdir()
    (here / "images" / ".thumbnails" / "c.png").write_bytes(b"?")
    (here / "images" / "notes.txt").write_text("?")

    results, _ = lines(run("--json"))

    assert set(results) == {"a.png", "day 1/b.JPG"}


def test_a_folder_without_images_is_an_error(cleanplate, here) -> None:
    (here / "empty").mkdir()

    answer = cleanplate("clean", here / "empty", here / "masks", here / "copies")

    assert answer.exit_code == 1
    assert "there is no JPEG, PNG, WebP or TIFF image" in answer.stderr


def test_nothing_is_left_half_written(run, here, monkeypatch) -> None:
    def full(_descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("cleanplate.cli.files.os.fsync", full)

    results, _ = lines(run("--json"))

    assert {result["outcome"] for result in results.values()} == {"failed"}
    assert files_below(here / "copies") == []


def test_grown_masks_are_written_where_they_are_asked_for_and_verify_the_copies(run, cleanplate, here) -> None:
    answer = run("--dilate", "6px", "--masks-out", here / "used")

    assert answer.exit_code == 0
    assert files_below(here / "used") == ["a.png", "day 1/b.png"]
    used = mask_from_png((here / "used" / "a.png").read_bytes(), LIMITS)
    assert used.sum() > 20 * 20
    assert used[14 - 6, 25]
    assert not used[14 - 7, 25]
    images = (here / "images" / "a.png", here / "copies" / "a.png")
    assert cleanplate("verify", *images, here / "used" / "a.png").exit_code == 0
    assert cleanplate("verify", *images, here / "masks" / "a.png").exit_code == 1


def test_masks_are_not_written_among_copies(run, here) -> None:
    answer = run("--masks-out", here / "copies" / "masks")

    assert answer.exit_code == 1
    assert "lie in each other" in answer.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--dilate", "much"), "--dilate 'much'"),
        (("--dilate", "999px"), "dilation lies between"),
        (("--action", "blur"), "can be undone"),
        (("--inpainter", "magic"), "'magic'"),
    ],
)
def test_a_wish_that_cannot_be_met_ends_before_any_copy_is_made(run, here, options, words) -> None:
    answer = run(*options)

    assert answer.exit_code == 1
    assert words in answer.stderr
    assert not (here / "copies").exists()


@pytest.mark.parametrize("way", [("fill",), ("pixelate",), ("blur", "--reversible")])
def test_the_traditional_ways_make_copies_as_well(run, here, way) -> None:
    assert run("--action", *way).exit_code == 0
    copy = picture_from_bytes((here / "copies" / "a.png").read_bytes(), LIMITS).image[14:34, 18:38]
    assert (copy != picture()[14:34, 18:38]).any(axis=2).mean() > 0.5
    if way == ("fill",):
        assert (copy == 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("images", "copies"), "IMAGE MASK OUT, or --detect"),
        (("images", "masks", "copies", "more"), "IMAGE MASK OUT"),
        (("images", "masks", "copies", "--detect", "face"), "there is no MASK"),
        (("images", "masks/a.png", "copies"), "both be files, or both folders"),
        (("images", "nowhere", "copies"), "does not exist"),
        (("images", "masks", "images/a.png"), "must be a folder"),
        (("images/a.png", "masks/a.png", "copy.png", "--rename"), "are for folders"),
    ],
)
def test_names_that_do_not_fit_together_are_wrong_use(cleanplate, here, arguments, words) -> None:
    answer = cleanplate(
        "clean", *(name if name.startswith("--") or name == "face" else here / name for name in arguments)
    )

    assert answer.exit_code == 2
    assert words in " ".join(answer.stderr.replace("│", " ").split())
