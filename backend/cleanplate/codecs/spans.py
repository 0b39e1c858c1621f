import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask


def fill_spans(mask: Mask, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
    """Set the pixels *starts* … *ends* (exclusive), counted row by row from the top left, to True, in place.

    A span costs one slice and no more memory, so ragged masks stay cheap and large ones lazy.
    """
    flat = mask.reshape(-1)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        flat[start:end] = True
