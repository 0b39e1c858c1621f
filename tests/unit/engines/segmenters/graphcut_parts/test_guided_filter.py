import numpy as np

from cleanplate.engines.segmenters.graphcut_parts.guided_filter import guided


def halves(width: int, edge: int) -> np.ndarray:
    image = np.full((40, width, 3), (180, 60, 60), dtype=np.uint8)
    image[:, edge:] = (60, 60, 180)
    return image


def test_a_mask_that_is_a_pixel_off_moves_to_the_edge() -> None:
    image = halves(60, 30)
    rough = np.zeros((40, 60), dtype=np.float32)
    rough[:, :31] = 1

    soft = guided(image, rough).applied(image)

    assert (soft[:, :30] > 0.5).all()
    assert (soft[:, 30:] < 0.5).all()


def test_the_edge_of_a_larger_image_is_found_from_a_smaller_one() -> None:
    rough = np.zeros((40, 60), dtype=np.float32)
    rough[:, :31] = 1

    soft = guided(halves(60, 30), rough).applied(halves(240, 122).repeat(4, axis=0))

    assert soft.shape == (160, 240)
    assert (soft[:, :122] > 0.5).all()
    assert (soft[:, 122:] < 0.5).all()


def test_nothing_and_everything_stay_what_they_are() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)

    for value in (0, 1):
        soft = guided(image, np.full((20, 30), value, dtype=np.float32)).applied(image)
        np.testing.assert_allclose(soft, value, atol=1e-4)
