"""`cleanplate serve` for the benchmark `click`: the product, but that `sam` may draw blobs (see click_masks)."""

import sys
from typing import Any

from click_masks import drawn

from cleanplate.cli import main
from cleanplate.engines.segmenters import sam


class Drawing:
    """A decoder whose logits are replaced after all the work was done."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def decode(self, *features: Any, **prompt: Any) -> Any:
        """Answer one prompt."""
        answer = self._decoder.decode(*features, **prompt)
        return answer._replace(logits=drawn(answer.logits))


def _with_drawing(load: Any) -> Any:
    def loaded(weights: Any) -> Any:
        segmenter = load(weights)
        segmenter._decoder = Drawing(segmenter._decoder)  # noqa: SLF001  (there is no door, and none is needed else)
        return segmenter

    return loaded


if __name__ == "__main__":
    sam.load = _with_drawing(sam.load)  # type: ignore[attr-defined]
    sys.argv = ["cleanplate", "serve", *sys.argv[1:]]
    main()
