"""Which parts of an image an inpainter is shown, one for each group of holes that lie close together."""

import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, size_of
from cleanplate.engines.protocols import Comfort
from cleanplate.pipeline.growth import island_boxes, widened


def crops_of(mask: Mask, comfort: Comfort) -> tuple[Box, ...]:
    """Disjoint boxes of whole pixels that hold all of the mask and the context an inpainter wants to see.

    They are sorted; boxes that would overlap have become one.
    """
    size = size_of(mask)
    # Islands with less than the smallest context between them are one from the start: a sprinkled mask has thousands.
    near = island_boxes(widened(mask, comfort.min_side_px // 2))
    boxes = [box.grown(comfort.context * max(box.width, box.height)) for box in near]
    while True:
        canvas = np.zeros_like(mask)
        for box in boxes:
            canvas[box.slices(size)] = True
        merged = island_boxes(canvas)
        if len(merged) == len(boxes):
            return tuple(sorted(merged))
        boxes = merged
