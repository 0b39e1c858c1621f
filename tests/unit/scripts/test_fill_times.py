import cv2
import numpy as np
import pytest
from fill_times import SETTINGS, Setting, ground, holes, times_text


@pytest.mark.parametrize("components", [1, 6])
def test_the_holes_are_so_many_and_cover_about_five_percent(components) -> None:
    mask = holes(Setting(1280, 960, components))

    islands, _ = cv2.connectedComponents(mask.astype(np.uint8))
    assert mask.shape == (960, 1280)
    assert islands - 1 == components
    assert mask.mean() == pytest.approx(0.05, abs=0.005)


def test_the_ground_has_the_size_and_the_grain_that_were_asked_for() -> None:
    image = ground(700, 500)

    assert image.shape == (500, 700, 3)
    assert np.abs(np.diff(image[:, :, 1].astype(int), axis=1)).mean() > 1


def test_the_goals_stand_beside_the_settings_they_were_set_for() -> None:
    goals = {(setting.width, setting.components): (setting.goal_s, setting.goal_mb) for setting in SETTINGS}

    assert goals == {(512, 1): (None, None), (1920, 1): (1.5, 300), (4000, 1): (4, 300), (4000, 6): (None, 300)}


def test_a_person_reads_time_and_memory() -> None:
    row = Setting(1920, 1080, 1, 1.5, 300)._asdict() | {
        "inpainter": "kettle",
        "share": 0.05,
        "crops": 2,
        "median_s": 1.234,
        "fastest_s": 1,
        "cpu_s": 2,
        "extra_mb": 56,
    }

    assert times_text([row])[-1] == (
        "| 1920×1080 | 5.0% in 1 | kettle | 2 | 1.23 s | 1.00 s | 2.00 s | +56 MB | 1.5 s, 300 MB |"
    )
