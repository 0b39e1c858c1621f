import numpy as np
import pytest

from cleanplate.engines.segmenters.graphcut_parts.overview import Overview, overview_of
from cleanplate.engines.segmenters.graphcut_parts.proposals import (
    LARGEST_SHARE,
    Click,
    first_proposals,
    later_proposals,
)


@pytest.fixture(scope="module")
def overview() -> Overview:
    """Two coloured blocks that touch, on a grey ground."""
    image = np.full((120, 160, 3), 120, dtype=np.uint8)
    image[30:90, 30:80] = (200, 40, 40)
    image[30:90, 80:130] = (150, 40, 90)
    noise = np.random.default_rng(4).normal(0, 6, image.shape)
    return overview_of((image + noise).clip(0, 255).astype(np.uint8))


def share_of(overview: Overview, left: int, right: int) -> np.ndarray:
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[30:90, left:right] = True
    return overview.shares(mask)


def best_overlap(overview: Overview, regions: np.ndarray, truth: np.ndarray) -> float:
    members, wanted = regions * overview.superpixels.sizes, truth * overview.superpixels.sizes
    common = members @ truth
    return float((common / (members.sum(axis=1) + wanted.sum() - common)).max())


@pytest.mark.parametrize(("left", "right"), [(30, 80), (30, 130)])
def test_a_click_may_mean_a_part_or_the_whole(overview, left, right) -> None:
    proposals = first_proposals(overview, Click(55 / 160, 60 / 120, positive=True))

    assert best_overlap(overview, proposals.regions, share_of(overview, left, right)) > 0.93


def test_every_first_proposal_holds_the_click_and_leaves_some_of_the_image(overview) -> None:
    click = Click(0.02, 0.03, positive=True)

    proposals = first_proposals(overview, click)

    assert proposals.regions[:, overview.superpixel_at(click.x, click.y)].all()
    assert (proposals.regions @ overview.superpixels.sizes <= LARGEST_SHARE * overview.area).all()
    assert np.isfinite(proposals.measures).all()
    assert proposals.measures.shape[0] == len(proposals.regions) == len(proposals.replaces)


def test_a_later_click_may_add_a_part_and_keeps_off_negative_clicks(overview) -> None:
    clicks = (
        Click(55 / 160, 0.5, positive=True),
        Click(10 / 160, 0.1, positive=False),
        Click(105 / 160, 0.5, positive=True),
    )

    proposals = later_proposals(overview, share_of(overview, 30, 80), clicks)

    assert proposals is not None
    places = [overview.superpixel_at(click.x, click.y) for click in clicks]
    assert proposals.regions[:, places[2]].all()
    assert not proposals.regions[:, places[1]].any()
    assert proposals.regions[proposals.replaces][:, places[0]].all()
    assert best_overlap(overview, proposals.regions, share_of(overview, 30, 130)) > 0.93
    assert np.isfinite(proposals.measures).all()


def test_a_negative_click_may_take_a_part_away_and_leaves_the_positive_ones(overview) -> None:
    clicks = (Click(55 / 160, 0.5, positive=True), Click(105 / 160, 0.5, positive=False))

    proposals = later_proposals(overview, share_of(overview, 30, 130), clicks)

    assert proposals is not None
    places = [overview.superpixel_at(click.x, click.y) for click in clicks]
    assert proposals.regions[:, places[0]].all()
    assert not proposals.regions[:, places[1]].any()
    assert best_overlap(overview, proposals.regions, share_of(overview, 30, 80)) > 0.93


def test_there_is_nothing_to_propose_where_the_image_is_one_superpixel() -> None:
    overview = overview_of(np.zeros((1, 1, 3), dtype=np.uint8))

    assert later_proposals(overview, np.ones(1, dtype=np.float32), (Click(0.5, 0.5, positive=False),)) is None
    assert len(first_proposals(overview, Click(0.5, 0.5, positive=True)).regions) == 1
