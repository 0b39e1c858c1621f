"""The promise that nothing is copied from where nothing may be copied."""

import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.engines.inpainters.exemplar_parts.grid import Places, reached
from cleanplate.errors import EngineError


def require_allowed(sources: Places, forbidden: Mask) -> None:
    """Raise EngineError if a patch around any of *sources* holds a forbidden pixel or leaves the image.

    Asked of the finished answer and worked out anew from the masks: it does not trust the search.
    """
    if sources.size and (int(sources.min()) < 0 or int(sources.max()) >= forbidden.size):
        raise EngineError("the exemplar inpainter was about to copy from outside the image; nothing was filled")
    wrong = int(np.count_nonzero(reached(forbidden).reshape(-1)[sources]))
    if wrong:
        raise EngineError(
            f"the exemplar inpainter was about to copy {wrong} pixels from masked or avoided places; nothing was filled"
        )
