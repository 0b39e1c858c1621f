"""What both sides draw in the benchmark `click` once their decoders have done all their work.

Weights that have learnt nothing draw noise, of which no annotator would see the like, and whose brush strokes are a
hundred times longer than those of an object. So the last step is replaced, in cleanplate and in its peer alike: where
the decoder's logits come out, those of one smooth blob go on. A file says which masks are wanted just now, since both
are services.
"""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

CHOICE: Final = "CLICK_BENCHMARK_MASKS"
"""The environment's name for the file that says `blob` or `noise`."""

BLOB: Final = "blob"
NOISE: Final = "noise"

SIDE: Final = 256
MIDDLE: Final = (128, 82)
"""Near the middle of photographs of 4:3 and of 16:9, both of which lie at the top of SAM's square."""

RADIUS: Final = 34.0


def blob() -> npt.NDArray[np.float32]:
    """(SIDE, SIDE) logits of a blob with a wavy rim, about a twelfth of a photograph."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x, y = columns - MIDDLE[0], rows - MIDDLE[1]
    angle = np.arctan2(y, x)
    rim = RADIUS + 4 * np.sin(3 * angle) + 2 * np.sin(7 * angle)
    return ((rim - np.hypot(x, y)) / 2).astype(np.float32)


def drawn(logits: Any) -> Any:
    """Logits as they are, or a blob in place of each: a tensor of any number of (SIDE, SIDE)."""
    if Path(os.environ[CHOICE]).read_text(encoding="utf-8") == NOISE:
        return logits
    import torch  # noqa: PLC0415  (who only looks at blobs needs none)

    return torch.from_numpy(blob()).expand(logits.shape)
