from types import SimpleNamespace

import pytest
from fill_confidence import calibration, calibration_text, spearman


def outcomes(confidences: list[float | None]) -> list[SimpleNamespace]:
    """One fill after the other, each better than the one before by every figure."""
    return [
        SimpleNamespace(
            inpainter="kettle",
            confidence=confidence,
            figures=SimpleNamespace(
                psnr_db=10 + place, ssim=place / 100, texture=9 - place / 10, flatness=2, layout=50 - place
            ),
        )
        for place, confidence in enumerate(confidences)
    ]


def test_a_confidence_that_knows_everything_catches_every_poor_fill_without_a_false_alarm() -> None:
    (row,) = calibration(outcomes([place / 40 for place in range(40)]))

    quarter = row["thresholds"][1]
    assert row["spearman"] == {"PSNR": 1, "SSIM": 1, "layout": 1, "texture": 1, "both": 1}
    assert row["poor_below_others"] == 1
    assert (quarter["caught"], quarter["false_alarms"], quarter["flagged"]) == (1, 0, 0.25)


def test_a_confidence_that_is_always_the_same_knows_nothing() -> None:
    (row,) = calibration(outcomes([0.5] * 40))

    assert row["spearman"]["both"] == 0
    assert row["poor_below_others"] == 0.5


def test_a_confidence_that_is_wrong_way_round_shows() -> None:
    (row,) = calibration(outcomes([1 - place / 40 for place in range(40)]))

    assert row["spearman"]["both"] == -1
    assert row["poor_below_others"] == 0


def test_an_inpainter_without_confidences_is_left_out() -> None:
    assert calibration(outcomes([None] * 40)) == []


def test_a_person_reads_what_each_threshold_costs() -> None:
    text = "\n".join(calibration_text(calibration(outcomes([place / 40 for place in range(40)]))))

    assert "confidence of kettle over 40 cases" in text
    assert "| 100% | 0% | 25% |" in text


def test_equal_values_share_their_ranks() -> None:
    assert spearman([1, 1, 2, 3], [5, 5, 6, 7]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [1, 4, 9, 16]) == pytest.approx(1)
