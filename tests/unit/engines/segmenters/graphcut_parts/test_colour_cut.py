import cv2
import numpy as np

from cleanplate.engines.segmenters.graphcut_parts.colour_cut import colour_cut


def scene() -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros((60, 80), dtype=np.bool_)
    truth[20:45, 25:60] = True
    image = np.where(truth[..., np.newaxis], (200, 170, 30), (40, 90, 120))
    return (image + np.random.default_rng(3).normal(0, 9, image.shape)).clip(0, 255).astype(np.uint8), truth


def rough_trimap() -> np.ndarray:
    trimap = np.full((60, 80), cv2.GC_BGD, dtype=np.uint8)
    trimap[10:55, 15:70] = cv2.GC_PR_BGD
    trimap[18:40, 30:66] = cv2.GC_PR_FGD
    return trimap


def test_probable_pixels_are_decided_by_colour() -> None:
    image, truth = scene()

    cut = colour_cut(image, rough_trimap(), rounds=1)

    np.testing.assert_array_equal(cut, truth)


def test_sure_pixels_stay_and_the_trimap_is_left_alone() -> None:
    image, truth = scene()
    trimap = rough_trimap()
    trimap[30:34, 40:44] = cv2.GC_BGD
    trimap[12:14, 62:64] = cv2.GC_FGD
    before = trimap.copy()

    cut = colour_cut(image, trimap, rounds=1)

    assert not cut[30:34, 40:44].any()
    assert cut[12:14, 62:64].all()
    np.testing.assert_array_equal(trimap, before)
    assert truth[30, 40]


def test_what_is_probable_stands_if_there_are_too_few_pixels_to_tell() -> None:
    image, _ = scene()
    for probable, value in ((cv2.GC_PR_FGD, True), (cv2.GC_PR_BGD, False)):
        trimap = np.full((60, 80), probable, dtype=np.uint8)

        assert (colour_cut(image, trimap, rounds=1) == value).all()
