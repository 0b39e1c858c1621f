import cv2
import numpy as np
import pytest
from fill_metrics import PSNR_CEILING_DB, figures, layout_error, psnr_db, seam, sharpness, ssim, texture_distance

HOLE = np.zeros((96, 120), dtype=np.bool_)
HOLE[30:70, 40:90] = True


def grass(seed: int) -> np.ndarray:
    """Something that is rough everywhere and nowhere the same."""
    spots = np.random.default_rng(seed).normal(0, 60, (96, 120, 3)).astype(np.float32)
    return np.clip(128 + cv2.GaussianBlur(spots, (0, 0), 0.8), 0, 255).astype(np.uint8)


def put_into_the_hole(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(HOLE[..., np.newaxis], other, image)


def smeared(image: np.ndarray) -> np.ndarray:
    return cv2.inpaint(image, HOLE.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def test_a_perfect_fill_has_the_best_of_all_figures() -> None:
    truth = grass(1)

    measured = figures(truth.copy(), truth, HOLE)

    assert measured.psnr_db == PSNR_CEILING_DB
    assert measured.ssim == pytest.approx(1, abs=1e-6)
    assert measured.texture == 0
    assert measured.layout == 0
    assert measured.sharpness == 1
    assert measured.seam == 1


def test_other_grass_has_the_texture_of_grass_and_a_smear_has_not() -> None:
    truth = grass(1)

    other = texture_distance(put_into_the_hole(truth, grass(2)), truth, HOLE)
    smear = texture_distance(smeared(truth), truth, HOLE)

    assert smear > 5 * other


def test_psnr_prefers_the_smear_and_must_not_be_trusted_alone() -> None:
    truth = grass(1)

    assert psnr_db(smeared(truth), truth, HOLE) > psnr_db(put_into_the_hole(truth, grass(2)), truth, HOLE)


def test_the_texture_distance_tells_stripes_from_stripes_across() -> None:
    down = np.zeros((96, 120, 3), dtype=np.uint8)
    down[:, ::4] = 200
    across = np.zeros_like(down)
    across[::4] = 200

    assert texture_distance(across, down, HOLE) > 5


def test_the_texture_distance_does_not_mind_where_the_stripes_are_nor_how_bright() -> None:
    truth = np.full((96, 120, 3), 90, dtype=np.uint8)
    truth[:, ::4] = 120

    assert texture_distance(np.roll(truth, 2, axis=1), truth, HOLE) < 0.2
    assert texture_distance(truth + np.uint8(8), truth, HOLE) < 0.2


def test_a_flat_colour_is_as_far_from_the_texture_as_the_flatness_says() -> None:
    truth = grass(1)
    flat = put_into_the_hole(truth, np.full_like(truth, 128))

    measured = figures(flat, truth, HOLE)

    assert measured.texture == pytest.approx(measured.flatness, rel=0.2)


def test_the_layout_minds_where_a_window_is_and_not_which_grass_it_is() -> None:
    truth = grass(1)
    window = put_into_the_hole(truth, grass(2))
    window[35:65, 45:85] = 20

    assert layout_error(window, truth, HOLE) > 3 * layout_error(put_into_the_hole(truth, grass(2)), truth, HOLE)


def test_a_smear_is_not_sharp_and_other_grass_is_about_as_sharp() -> None:
    truth = grass(1)

    assert sharpness(smeared(truth), truth, HOLE) < 0.3
    assert sharpness(put_into_the_hole(truth, grass(2)), truth, HOLE) == pytest.approx(1, abs=0.15)


def test_a_patch_of_another_colour_shows_at_the_seam() -> None:
    truth = np.full((96, 120, 3), 90, dtype=np.uint8)
    patched = put_into_the_hole(truth, truth + np.uint8(40))

    assert seam(patched, truth, HOLE) > 50


def test_nothing_far_from_the_hole_counts() -> None:
    truth = grass(1)
    filled = smeared(truth)
    elsewhere = filled.copy()
    elsewhere[:15] = 0

    assert figures(elsewhere, truth, HOLE) == figures(filled, truth, HOLE)


def test_ssim_falls_with_noise() -> None:
    truth = np.full((96, 120, 3), 90, dtype=np.uint8)
    little, much = (
        put_into_the_hole(truth, truth + np.random.default_rng(3).integers(0, most, truth.shape, dtype=np.uint8))
        for most in (4, 40)
    )

    assert 1 > ssim(little, truth, HOLE) > ssim(much, truth, HOLE)


def test_a_hole_at_the_border_can_be_measured() -> None:
    corner = np.zeros_like(HOLE)
    corner[:10, :10] = True
    truth = grass(1)

    assert figures(truth, truth, corner).texture == 0


def test_figures_without_a_hole_are_refused() -> None:
    with pytest.raises(ValueError, match="no hole"):
        figures(grass(1), grass(1), np.zeros_like(HOLE))
