import json
import math
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="sam needs torch")
pytest.importorskip("segment_anything", reason="it names the tensors of the benchmark's checkpoint")

from click_annotators import (
    REACH_PCT,
    Annotator,
    Answer,
    Expected,
    Gallery,
    Shift,
    likest,
    percentile,
    photograph,
    race,
    work_together,
)
from click_masks import BLOB, CHOICE, NOISE, SIDE, blob
from click_serve import _with_drawing
from click_services import Variant
from click_table import Cell, Row, Table
from clicks import SIZES
from process_figures import family, family_cpu_s, family_peak_bytes, restart_family_peak

from cleanplate.codecs.rle import rle_from_mask
from cleanplate.domain.geometry import Point
from cleanplate.domain.image import Size
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.segmenters import sam
from cleanplate.engines.segmenters.sam_parts.square import size_in_square
from cleanplate.engines.weights import Weights
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.label_studio.results import prompt_items
from fakes.label_studio import FakeLabelStudio
from fakes.sam_checkpoints import seeded_sam, state_dict

HUNDRED_MB = 100_000_000


@pytest.fixture
def gallery():
    with FakeLabelStudio() as label_studio:
        yield Gallery(label_studio)


# What is drawn


@pytest.mark.parametrize("size", SIZES)
def test_every_click_lies_in_the_blob_which_covers_about_a_twelfth_of_the_image(size) -> None:
    fitted = size_in_square(Size(*size))
    inside = blob() > 0
    cells = np.array(fitted) * SIDE / 1024

    reach = np.array([-REACH_PCT, 0, REACH_PCT])
    columns, rows = ((50 + reach) / 100 * side for side in cells)
    share = inside[: round(cells[1]), : round(cells[0])].mean()

    assert all(inside[round(row), round(column)] for row in rows for column in columns)
    assert inside.sum() == inside[: round(cells[1]), : round(cells[0])].sum()
    assert 0.06 < share < 0.12


def test_the_product_draws_blobs_or_what_its_network_says(tmp_path, monkeypatch) -> None:
    checkpoint = Weights(checkpoint=state_dict(tmp_path / "small.pth", seeded_sam()))
    choice = tmp_path / "masks.txt"
    monkeypatch.setenv(CHOICE, str(choice))
    drawing, plain = _with_drawing(sam.load)(checkpoint), sam.load(checkpoint)
    embedding, prompt = plain.embed(photograph((1024, 768), 0)), Prompt(points=(Point(500, 380),))

    choice.write_text(NOISE)
    np.testing.assert_array_equal(drawing.segment(embedding, prompt).mask, plain.segment(embedding, prompt).mask)

    choice.write_text(BLOB)
    drawn = drawing.segment(embedding, prompt).mask
    wanted = cv2.resize(blob(), (1024, 1024), interpolation=cv2.INTER_LINEAR)[:768] > 0
    assert (drawn != wanted).mean() < 0.001


def test_every_number_is_another_photograph() -> None:
    small = [photograph((40, 30), number).tobytes() for number in range(12)]

    assert len(set(small)) == 12
    assert photograph((40, 30), 5).tobytes() == small[5]


# What is sent


def test_a_click_is_sent_as_label_studio_sends_it(gallery) -> None:
    task = gallery.task((40, 30), gallery.project())

    request = PredictRequest.from_json(task.clicked((25.0, 50.0), "a"))

    (prompt,) = prompt_items(request.prompts or (), LabelConfig.from_xml(request.label_config))
    assert (prompt.id, prompt.size, prompt.label) == ("a", Size(40, 30), "Thing")
    assert prompt.point is not None
    assert prompt.point.positive
    assert [sent.id for sent in request.tasks] == [task.body["id"]]


def test_an_opened_task_is_sent_without_prompts(gallery) -> None:
    task = gallery.task((40, 30), gallery.project())

    request = PredictRequest.from_json(task.opened())

    assert request.prompts is None
    assert request.project_id == task.project


def test_a_backend_that_is_not_there_is_a_click_without_a_mask(gallery) -> None:
    task = gallery.task((40, 30), gallery.project())

    answer = Annotator("http://127.0.0.1:1").click(task)

    assert not answer.has_mask
    assert answer.seconds >= 0


# What is made of the answers


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.95, 10), (0.9, 9), (1, 10)])
def test_a_percentile_is_the_smallest_value_that_so_many_are_not_above(share, expected) -> None:
    assert percentile([3, 1, 2, 10, 9, 8, 7, 6, 5, 4], share) == expected


def test_without_any_answer_a_percentile_is_endless() -> None:
    assert percentile([], 0.95) == math.inf


def test_a_shift_counts_masks_a_second_and_what_came_too_late() -> None:
    shift = Shift(wanted=4, answered_s=[1.0, 2.0, 101.0], failed=2, wall_s=60.0)

    assert shift.clicks_per_s == pytest.approx(0.05)
    assert shift.p95_s == 101.0
    assert shift.late == 1
    assert not shift.is_whole


class Backend:
    """Answers clicks with what it was given: status and mask, by the task's id and how often it was asked."""

    def __init__(self, answers) -> None:
        self._answers = {task_id: iter(some) for task_id, some in answers.items()}

    def install(self, monkeypatch) -> None:
        def send(_annotator, body: bytes) -> Answer:
            status, mask = next(self._answers[json.loads(body)["tasks"][0]["id"]])
            item = {"value": {"rle": list(rle_from_mask(mask))}} if mask is not None else {}
            return Answer(0.01, status, json.dumps({"results": [{"result": [item]}]}).encode())

        monkeypatch.setattr(Annotator, "_send", send)


def square(left: int) -> np.ndarray:
    mask = np.zeros((30, 40), dtype=np.bool_)
    mask[5:20, left : left + 10] = True
    return mask


def test_who_gets_no_mask_clicks_again_until_all_have_theirs(gallery, monkeypatch) -> None:
    tasks = [gallery.task((40, 30), gallery.project()) for _ in range(2)]
    busy, good = (503, None), (200, square(3))
    Backend({tasks[0].body["id"]: [busy, good, good], tasks[1].body["id"]: [good, good]}).install(monkeypatch)

    shift = work_together("http://backend", tasks, clicks=2, within_s=60)

    assert shift.failed == 1
    assert len(shift.answered_s) == shift.wanted == 4
    assert shift.is_whole


def test_when_their_time_is_over_they_begin_no_click_any_more(gallery, monkeypatch) -> None:
    task = gallery.task((40, 30), gallery.project())
    Backend({task.body["id"]: []}).install(monkeypatch)

    shift = work_together("http://backend", [task], clicks=2, within_s=0)

    assert shift.answered_s == []
    assert not shift.is_whole


def test_a_race_tells_foreign_masks_from_own_ones_and_from_none(gallery, monkeypatch) -> None:
    tasks = [gallery.task((40, 30), gallery.project()) for _ in range(3)]
    own = [np.stack([square(2 + 12 * number), square(4 + 12 * number)]) for number in range(3)]
    expected = [Expected(task, [masks, masks]) for task, masks in zip(tasks, own, strict=True)]
    answers = {
        tasks[0].body["id"]: [(200, square(2)), (200, square(5))],
        tasks[1].body["id"]: [(500, None), (200, square(14))],
        tasks[2].body["id"]: [(200, square(26)), (200, square(3))],
    }
    Backend(answers).install(monkeypatch)

    outcome = race("http://backend", expected, ((40.0, 40.0), (60.0, 60.0)))

    assert outcome == (6, 1, 1)


def test_a_mask_is_likest_to_the_image_with_the_nearest_of_its_masks() -> None:
    assert likest(square(10), [np.stack([square(0), square(29)]), np.stack([square(30), square(11)])]) == 1


# What is printed


def test_less_is_better_but_where_more_is() -> None:
    cells = {"peer": Cell(8.0), "ours": Cell(2.0)}

    assert Row("time", "s", cells).gain("ours", "peer") == 4
    assert Row("rate", "clicks/s", cells, more_is_better=True).gain("ours", "peer") == 0.25
    assert Row("failures", "", cells, has_ratio=False).gain("ours", "peer") is None
    assert Row("time", "s", {"ours": Cell(2.0)}).gain("ours", "peer") is None
    assert Row("time", "s", {"peer": Cell(2.0), "ours": Cell(0.0)}).gain("ours", "peer") is None


def test_a_table_shows_units_processor_time_and_notes() -> None:
    clicks = Row("warm click", "ms", {"peer": Cell(0.089, 0.16), "ours": Cell(0.0445, 0.08)})
    memory = Row("memory", "MB", {"ours": Cell(1.5 * 1024**3, note="two processes")})
    table = Table("peer", ["ours"], [clicks, memory])

    assert list(table.lines()) == [
        "| figure | peer | ours | better by |",
        "|---|---|---|---|",
        "| warm click | 89 ms, CPU 160 ms | 44 ms, CPU 80 ms | 2× |",
        "| memory |  | 1,536 MB (two processes) |  |",
    ]
    assert [row["gains"] for row in table.values()] == [{"ours": pytest.approx(2)}, {"ours": None}]


def test_a_variant_is_a_name_with_settings() -> None:
    assert Variant.from_text("plain") == Variant("plain", {})
    assert Variant.from_text("fp32:CLEANPLATE_PRECISION=fp32,A=b=c") == Variant(
        "fp32", {"CLEANPLATE_PRECISION": "fp32", "A": "b=c"}
    )


# What processes take


def test_memory_and_time_are_those_of_a_process_and_of_all_that_it_started() -> None:
    child = f"bytearray({HUNDRED_MB}); sum(range(10**7)); print('done', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", parent], **pipes) as process:
        process.stdout.readline()
        members, peak, cpu_s = family(process.pid), family_peak_bytes(process.pid), family_cpu_s(process.pid)
        restart_family_peak(process.pid)
        later = family_peak_bytes(process.pid)
        process.communicate(b"\n")

    assert len(members) == 2
    assert later + HUNDRED_MB / 2 < peak
    assert peak > HUNDRED_MB
    assert cpu_s > 0.1
    assert family_cpu_s(process.pid) == 0
