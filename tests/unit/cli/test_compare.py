import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from cleanplate.cli.contact_sheet import page_of, sheet_of
from cleanplate.cli.contact_sheet_picture import picture_of
from cleanplate.domain.geometry import Box
from cleanplate.engines import registry
from cleanplate.pipeline.comparison import Trial, difference, overlay, zoom_box
from fakes.image_files import encoded, photograph


@pytest.fixture
def files(tmp_path):
    image = photograph(160, 120)
    image[40:80, 60:100] = (250, 10, 10)
    mask = np.zeros((120, 160), dtype=np.uint8)
    mask[36:84, 56:104] = 255
    (tmp_path / "photo [1].png").write_bytes(encoded(image, "PNG"))
    (tmp_path / "mask.png").write_bytes(encoded(mask, "PNG"))
    return tmp_path


@pytest.fixture
def compare(cleanplate, files):
    return lambda *arguments: cleanplate("compare", files / "photo [1].png", files / "mask.png", *arguments)


def pictures(page):
    """Every picture of a page, decoded."""
    found = re.findall(r'<img[^>]* src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in found]


def test_the_page_needs_nothing_but_itself_and_says_that_it_is_private(compare, files) -> None:
    answer = compare(files / "sheet.html", "--inpainters", "opencv")

    assert answer.exit_code == 0
    assert "private" in answer.stdout
    page = (files / "sheet.html").read_text()
    assert "Private." in page
    assert not re.search(r"<script|<link|@import|https?://|url\(", page)
    assert "photo" not in page
    # original and mask; of each of three ways a close-up, what was there, the whole and the difference
    assert len(pictures(page)) == 2 + 3 * 4


def test_each_way_is_shown_with_its_time_and_what_the_contract_says(compare, files) -> None:
    compare(files / "sheet.html", "--inpainters", "opencv")

    page = (files / "sheet.html").read_text()
    assert re.findall(r"<h2>([^<]+)</h2>", page) == ["Original", "What was to go", "solid fill", "mosaic", "opencv"]
    assert len(re.findall(r"\d\.\d\d s · \d+ KiB", page)) == 3
    assert page.count("Keeps the contract") == 3
    assert "with a mark: reduced" in page
    assert "opencv-telea" in page
    assert "difference × 8" in page


def test_the_picture_is_a_png_without_anything_hidden_in_it(compare, files) -> None:
    assert compare(files / "sheet.png", "--inpainters", "opencv").exit_code == 0

    picture = Image.open(io.BytesIO((files / "sheet.png").read_bytes()))
    assert picture.format == "PNG"
    assert picture.width > 1000
    assert picture.height > 800
    assert picture.info == {}


def test_every_inpainter_that_is_here_is_tried_and_the_others_are_named(compare, files, monkeypatch) -> None:
    table = {"opencv": registry.INPAINTERS["opencv"], "gone": "cleanplate.engines.inpainters.gone"}
    monkeypatch.setattr(registry, "INPAINTERS", table)

    answer = compare(files / "sheet.html")

    assert answer.exit_code == 0
    assert "gone" in answer.stdout
    page = (files / "sheet.html").read_text()
    assert "<h2>opencv</h2>" in page
    assert "<strong>gone</strong> is not here: the inpainter &#39;gone&#39; needs" in page


def test_an_inpainter_that_was_asked_for_must_be_there(compare, files) -> None:
    answer = compare(files / "sheet.html", "--inpainters", "opencv,magic")

    assert answer.exit_code == 1
    assert "'magic'" in answer.stderr
    assert not (files / "sheet.html").exists()


def test_the_json_holds_the_figures_of_each_way(compare, files) -> None:
    said = json.loads(compare(files / "sheet.html", "--inpainters", "opencv", "--json").stdout)

    assert [trial["name"] for trial in said["trials"]] == ["solid fill", "mosaic", "opencv"]
    assert all(trial["seconds"] > 0 and trial["certificate"]["clauses"] for trial in said["trials"])


@pytest.mark.parametrize(
    ("name", "words"),
    [("sheet.pdf", "name it .html or .png"), ("mask.png", "overwritten"), ("no/sheet.png", "no folder")],
)
def test_a_place_for_the_sheet_that_will_not_do_is_refused(compare, files, name, words) -> None:
    answer = compare(files / name, "--force")

    assert answer.exit_code == 1
    assert words in answer.stderr


def test_an_existing_sheet_is_overwritten_only_by_force(compare, files) -> None:
    (files / "sheet.html").write_text("mine")

    assert compare(files / "sheet.html", "--inpainters", "opencv").exit_code == 1
    assert (files / "sheet.html").read_text() == "mine"
    assert compare(files / "sheet.html", "--inpainters", "opencv", "--force").exit_code == 0


def test_a_mask_of_another_size_is_refused_by_its_name(compare, files) -> None:
    (files / "mask.png").write_bytes(encoded(np.full((20, 20), 255, dtype=np.uint8), "PNG"))

    answer = compare(files / "sheet.html")

    assert answer.exit_code == 1
    assert "mask.png" in answer.stderr


# The parts


def covered(height: int, width: int, box: Box) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = True
    return mask


@pytest.mark.parametrize(
    ("hole", "zoom"),
    [
        (Box(300, 200, 400, 300), Box(217, 150, 484, 350)),
        (Box(0, 0, 100, 100), Box(0, 0, 267, 200)),
        (Box(700, 500, 800, 600), Box(533, 400, 800, 600)),
        (Box(0, 0, 800, 600), Box(0, 0, 800, 600)),
        (Box(400, 300, 401, 301), Box(336, 252, 464, 348)),
    ],
    ids=["in the middle", "in a corner", "in the other corner", "everything", "one pixel"],
)
def test_the_close_up_shows_the_hole_in_its_surroundings_and_lies_on_the_image(hole, zoom) -> None:
    found = zoom_box(covered(600, 800, hole))

    assert np.abs(np.subtract(found, zoom)).max() <= 1
    assert 0 <= found.left < found.right <= 800
    assert 0 <= found.top < found.bottom <= 600


def test_of_several_holes_the_largest_is_looked_at_closely() -> None:
    mask = covered(600, 800, Box(10, 10, 30, 30)) | covered(600, 800, Box(500, 300, 700, 500))

    box = zoom_box(mask)
    assert box.left <= 500
    assert box.right >= 700
    assert box.top <= 300
    assert box.bottom >= 500


def test_a_difference_is_eight_times_as_strong_and_nothing_stays_black() -> None:
    image = photograph()
    copy = image.copy()
    copy[3, 4] = image[3, 4] ^ 1
    copy[5, 6] = 255 - image[5, 6]

    shown = difference(image, copy)

    assert (shown[3, 4] == 8).all()
    assert shown.sum() == shown[3, 4].sum() + shown[5, 6].sum()


def test_the_overlay_tints_the_mask_and_leaves_the_rest_but_for_its_outline() -> None:
    image = photograph()
    mask = covered(48, 64, Box(10, 10, 30, 30))

    shown = overlay(image, mask)

    assert (shown[mask] != image[mask]).any(axis=1).all()
    np.testing.assert_array_equal(
        shown[~covered(48, 64, Box(9, 9, 31, 31))], image[~covered(48, 64, Box(9, 9, 31, 31))]
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (900, 3), (700, 500)])
def test_every_shape_of_image_has_a_sheet(shape) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = np.zeros(shape, dtype=np.bool_)
    mask[0, 0] = True
    long = "a reason with a_word_that_is_so_long_that_no_line_could_ever_hold_it_" + "x" * 90
    sheet = sheet_of(image, mask, [Trial("broken <b>", problem=long)], missing=[("gone", long)])

    page, picture = page_of(sheet), Image.open(io.BytesIO(picture_of(sheet)))

    assert "broken &lt;b&gt;" in page
    assert f"No copy: {long}" in page
    assert picture.height < 6000


@pytest.mark.parametrize(("count", "columns"), [(1, 3), (2, 2), (3, 3), (4, 4), (5, 3), (8, 4)])
def test_cards_lie_in_even_rows_where_that_is_possible(count, columns) -> None:
    image = photograph()
    trials = [Trial(f"{number}", problem="none") for number in range(count)]

    assert sheet_of(image, covered(48, 64, Box(1, 1, 9, 9)), trials, missing=[]).columns == columns
