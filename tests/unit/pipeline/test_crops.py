import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.engines.protocols import Comfort
from cleanplate.pipeline.crops import crops_of

COMFORT = Comfort(context=0.5, min_side_px=64)


def block(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((200, 600), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_objects_far_apart_get_crops_of_their_own_with_context() -> None:
    left, right = crops_of(block(100, 80, 120, 90) | block(400, 80, 440, 90), COMFORT)

    assert left.left <= 100 - 32
    assert left.right >= 120 + 32
    assert right.left <= 400 - 32 - 20


def test_objects_whose_context_overlaps_share_a_crop() -> None:
    assert len(crops_of(block(100, 80, 120, 90) | block(190, 80, 200, 90), COMFORT)) == 1


def test_a_mask_of_everything_is_one_crop() -> None:
    assert crops_of(block(0, 0, 600, 200), COMFORT) == (Box(0, 0, 600, 200),)


def test_thousands_of_specks_share_a_crop() -> None:
    mask = np.zeros((1000, 1000), dtype=np.bool_)
    mask[::7, ::5] = True

    assert crops_of(mask, COMFORT) == (Box(0, 0, 1000, 1000),)
