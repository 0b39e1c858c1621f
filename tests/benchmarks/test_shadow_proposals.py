"""How often a proposed shadow is one, and how many shadows are proposed, on drawn scenes. `pytest -s` shows figures."""

import sys

import numpy as np
import pytest

from cleanplate.pipeline.shadow import propose_shadow
from fakes.shadow_scenes import Kind, draw

SEEDS = range(1000, 1050)
"""None of those that the bounds were found with."""

_WORTH_FINDING = 0.06
"""Smaller shadows, in areas of their objects, are mostly hidden behind them."""

_FOUND = 0.5
"""A proposal is right if it and the shadow have so much of their union in common."""

PRECISION, RECALL = 0.9, 0.5


@pytest.mark.benchmark
def test_nine_of_ten_proposed_shadows_are_shadows_and_every_second_shadow_is_proposed():
    cast = proposed = right = 0
    lines = []
    for kind in Kind:
        overlaps = []
        for seed in SEEDS:
            scene = draw(kind, seed)
            found = propose_shadow(scene.image, scene.mask)
            cast += bool(scene.shadow.sum() >= _WORTH_FINDING * scene.mask.sum())
            if found is not None:
                overlaps.append((found.mask & scene.shadow).sum() / (found.mask | scene.shadow).sum())
        proposed += len(overlaps)
        right += int(np.sum(np.array(overlaps) >= _FOUND))
        median = np.median(overlaps) if overlaps else 0.0
        lines.append(f"{kind}: {len(overlaps)} proposed in {len(SEEDS)} scenes, median overlap {median:.2f}")
    lines.append(f"precision {right}/{proposed}, recall {right}/{cast}")
    sys.stdout.write("\n" + "\n".join(lines) + "\n")

    assert right >= PRECISION * proposed
    assert right >= RECALL * cast
