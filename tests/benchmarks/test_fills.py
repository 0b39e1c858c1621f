import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "scripts" / "benchmarks" / "fills.py"
PATHS = os.pathsep.join((str(CHECKOUT / "backend"), str(CHECKOUT / "scripts")))
INPAINTER = "exemplar"
TEXTURE_GOAL = 0.8
LEAST_CASES = 30


@pytest.fixture(scope="module")
def report() -> dict:
    command = [sys.executable, SCRIPT, "--json", "--calibration", "--inpainters", f"opencv,{INPAINTER}"]
    answer = subprocess.run(command, env=os.environ | {"PYTHONPATH": PATHS}, stdout=subprocess.PIPE, check=True).stdout
    return json.loads(answer)


@pytest.mark.benchmark
def test_the_texture_is_a_fifth_nearer_to_the_truth_than_teleas_and_the_structure_no_further(report) -> None:
    (row,) = report["goals"]
    large = [case for case in report["cases"] if case["inpainter"] == INPAINTER and case["group"] != "small"]

    assert len(large) >= LEAST_CASES
    assert row["inpainter"] == INPAINTER
    assert row["texture_ratio"] <= TEXTURE_GOAL
    assert row["ssim_gain"] >= 0


@pytest.mark.benchmark
def test_no_pixel_outside_a_hole_changes(report) -> None:
    assert {case["changed_outside"] for case in report["cases"]} == {0}


@pytest.mark.benchmark
def test_a_poor_fill_is_less_sure_of_itself_than_another(report) -> None:
    (row,) = report["calibration"]

    assert row["inpainter"] == INPAINTER
    assert row["poor_below_others"] > 0.7


@pytest.mark.benchmark
def test_large_images_are_filled_within_the_time_and_the_memory_set_for_them(report) -> None:
    own = [row for row in report["times"] if row["inpainter"] == INPAINTER]
    timed = [row for row in own if row["goal_s"] is not None]
    bounded = [row for row in own if row["goal_mb"] is not None]

    assert {(row["width"], row["height"]) for row in timed} == {(1920, 1080), (4000, 3000)}
    assert {(row["width"], row["components"]) for row in bounded} == {(1920, 1), (4000, 1), (4000, 6)}
    for row in timed:
        assert row["median_s"] < row["goal_s"]
    for row in bounded:
        assert row["extra_mb"] < row["goal_mb"]
