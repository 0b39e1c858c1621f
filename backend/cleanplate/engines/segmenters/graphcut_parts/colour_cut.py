"""A minimum cut between two colour models, inside a small window."""

from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage

Trimap: TypeAlias = npt.NDArray[np.uint8]
"""(h, w), what is known of each pixel: GC_BGD, GC_FGD for sure; GC_PR_BGD, GC_PR_FGD probably."""

FEWEST_SAMPLES: Final = 16
"""A colour model of fewer pixels says nothing; OpenCV asks for five."""

SEED: Final = 1
MODEL_NUMBERS: Final = 65


def colour_cut(image: RgbImage, trimap: Trimap, *, rounds: int) -> Mask:
    """Decide the probable pixels of *trimap* by colour and contrast.

    GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) as OpenCV has it. OpenCV's random numbers belong to the thread,
    so seeding them here makes the answer repeatable and disturbs nobody.
    """
    inside = _is_inside(trimap)
    if min(int(inside.sum()), int((~inside).sum())) < FEWEST_SAMPLES:
        return inside
    decided = trimap.copy()
    background, foreground = np.zeros((2, 1, MODEL_NUMBERS))
    cv2.setRNGSeed(SEED)
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.grabCut(bgr, decided, (0, 0, 0, 0), background, foreground, rounds, cv2.GC_INIT_WITH_MASK)
    return _is_inside(decided)


def _is_inside(trimap: Trimap) -> Mask:
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))
