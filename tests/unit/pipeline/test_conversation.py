from collections.abc import Iterable

import numpy as np
import pytest

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, Size
from cleanplate.domain.prompt import Prompt
from cleanplate.domain.region import Region, Shape
from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.engines.protocols import Segmentation
from cleanplate.errors import PromptError
from cleanplate.pipeline.conversation import (
    MAX_SETTLED_CLICKS,
    MAX_TARGETS,
    RECENT_S,
    SAVED_WITHIN_S,
    Click,
    ConversationKey,
    DrawnBox,
    Memory,
    PackedMask,
    Question,
    follow,
)

SIZE = Size(width=200, height=150)
IMAGE = ImageIdentity(label_studio_url="http://ls", project_id=1, task_id=2, url="/data/a.png")
KEY = ConversationKey(image=IMAGE, to_name="image", label="Face")


def plus(prompt_id: str, x: float, y: float) -> Click:
    return Click(prompt_id, Point(x, y))


def minus(prompt_id: str, x: float, y: float) -> Click:
    return Click(prompt_id, Point(x, y, positive=False))


def box(prompt_id: str, *, at: tuple[float, float], side: float = 20) -> DrawnBox:
    left, top = at
    return DrawnBox(prompt_id, Box(left, top, left + side, top + side))


def square(x: float, y: float, reach: int, size: Size = SIZE) -> tuple[slice, slice]:
    return Box(x - reach, y - reach, x + reach + 1, y + reach + 1).slices(size)


def saved(region_id: str, *, at: tuple[int, int], reach: int = 10) -> Region:
    mask = np.zeros((SIZE.height, SIZE.width), dtype=np.bool_)
    mask[square(*at, reach)] = True
    return Region(region_id, "brush", "Face", Shape.BRUSH, mask)


def segmentation(prompt: Prompt, size: Size = SIZE) -> Segmentation:
    """The earlier mask or the box, with 21×21 pixels around each positive click and without 5×5 around a negative."""
    mask = np.zeros((size.height, size.width), dtype=np.bool_)
    if prompt.previous is not None and prompt.previous.shape == mask.shape:
        mask |= prompt.previous > 0
    elif prompt.box is not None:
        mask[prompt.box.slices(size)] = True
    for point in prompt.points:
        mask[square(point.x, point.y, 10 if point.positive else 2, size)] = point.positive
    return Segmentation(mask=mask, score=0.9, logits=np.where(mask, 8, -8).astype(np.float32))


class Talk:
    """A conversation with a segmenter that writes down what it is asked."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.now = 1000.0
        self.prompts: list[Prompt] = []

    def ask(
        self,
        *prompts: Click | DrawnBox,
        after_s: float = 1.0,
        saved: Iterable[Region] = (),
        drafted: Iterable[str] | None = None,
        size: Size = SIZE,
    ) -> tuple[str, ...]:
        """Send one request; the regions that are shown for it.

        *saved* are regions that others have saved, *drafted* the ids of all that is in the annotator's draft.
        """
        self.now += after_s
        self.prompts = []
        regions = tuple(saved)
        question = Question(
            clicks=tuple(prompt for prompt in prompts if isinstance(prompt, Click)),
            boxes=tuple(prompt for prompt in prompts if isinstance(prompt, DrawnBox)),
            size=size,
            asked_at=self.now,
            saved_ids=frozenset([*(region.region_id for region in regions), *(drafted or ())]),
            drafts=frozenset() if drafted is None else frozenset({(1, tuple(drafted))}),
        )
        plan = follow(KEY, self.memory, question, lambda: regions)
        memory = plan.memory
        for target in plan.unanswered:
            self.prompts.append(target.prompt)
            memory = memory.answered(target.region_id, segmentation(target.prompt, size))
        self.memory = memory
        assert all(memory.target(region_id).is_answered for region_id in plan.region_ids)
        return plan.region_ids

    def mask(self, region_id: str) -> Mask:
        answer = self.memory.target(region_id).answer
        assert answer is not None
        return answer.mask.mask()


# Clicks that stay on the screen


def test_several_clicks_of_one_label_are_one_object() -> None:
    talk = Talk()

    (region,) = talk.ask(plus("a", 50, 50), plus("b", 150, 50), minus("c", 100, 50))

    assert talk.prompts[0].points == (Point(50, 50), Point(150, 50), Point(100, 50, positive=False))
    assert talk.mask(region)[50, [50, 100, 150]].tolist() == [True, False, True]


def test_an_added_click_refines_the_last_answer_under_the_same_region() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))

    (second,) = talk.ask(plus("a", 50, 50), minus("b", 58, 50))

    assert second == first
    assert talk.prompts[0].points == (Point(50, 50), Point(58, 50, positive=False))
    assert talk.prompts[0].previous is not None
    assert talk.prompts[0].previous[50, 50] > 0


def test_a_deleted_click_is_gone_and_the_rest_is_asked_afresh() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50), plus("b", 100, 50))

    (second,) = talk.ask(plus("a", 50, 50))

    assert second == first
    assert talk.prompts[0].points == (Point(50, 50),)
    assert talk.prompts[0].previous is None
    assert not talk.mask(second)[50, 100]


def test_a_moved_click_is_asked_afresh_at_its_new_place() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))

    (second,) = talk.ask(plus("a", 120, 50))

    assert second == first
    assert talk.prompts[0].previous is None
    assert talk.mask(second)[50, [50, 120]].tolist() == [False, True]


def test_the_same_request_again_asks_no_segmenter_and_shows_the_same() -> None:
    talk = Talk()
    requests = [(plus("a", 50, 50),), (plus("a", 50, 50), minus("b", 58, 50)), (box("c", at=(120, 90)),)]

    for request in requests:
        first = talk.ask(*request)
        assert talk.ask(*request) == first
        assert talk.prompts == []


def test_the_same_question_gets_the_same_region_after_a_restart() -> None:
    before, after = Talk(), Talk()
    before.ask(plus("other", 150, 100))

    assert before.ask(plus("a", 50, 50)) == after.ask(plus("a", 50, 50))


def test_when_only_a_negative_click_is_left_it_refines_the_last_answer() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50), minus("b", 58, 50))

    (second,) = talk.ask(minus("b", 58, 50))

    assert second == first
    assert talk.mask(second)[50, [50, 58]].tolist() == [True, False]


# Clicks after a mask was accepted and the prompts before are gone


def test_a_lone_negative_click_refines_the_mask_it_lies_in_and_keeps_the_earlier_clicks() -> None:
    talk = Talk()
    (face,) = talk.ask(plus("a", 50, 50))
    talk.ask(plus("b", 150, 100))

    (shown,) = talk.ask(minus("c", 58, 50))

    assert shown == face
    assert talk.prompts[0].points == (Point(50, 50), Point(58, 50, positive=False))
    assert talk.prompts[0].previous is not None
    assert talk.prompts[0].previous[50, 50] > 0


def test_lone_negative_clicks_one_after_the_other_all_count() -> None:
    talk = Talk()
    (face,) = talk.ask(plus("a", 50, 50))

    shown = [talk.ask(minus(name, x, 50)) for name, x in (("b", 58), ("c", 42), ("d", 50))]

    assert shown == [(face,)] * 3
    assert [point.x for point in talk.prompts[0].points] == [50, 58, 42, 50]
    assert talk.mask(face)[50, [50, 58, 42, 54]].tolist() == [False, False, False, True]


def test_a_lone_negative_click_beside_all_masks_refines_the_nearest() -> None:
    talk = Talk()
    (near,) = talk.ask(plus("a", 50, 50))
    talk.ask(plus("b", 150, 100))

    assert talk.ask(minus("c", 70, 50)) == (near,)


def test_a_lone_negative_click_refines_the_last_of_two_masks_it_lies_in() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))
    (last,) = talk.ask(plus("b", 150, 50))
    talk.ask(plus("b", 150, 50), plus("c", 55, 50))
    assert talk.mask(first)[50, 52]
    assert talk.mask(last)[50, 52]

    assert talk.ask(minus("n", 52, 50)) == (last,)


def test_a_lone_negative_click_after_a_restart_refines_the_saved_region_it_lies_in() -> None:
    talk = Talk()
    regions = (saved("r1", at=(50, 50)), saved("r2", at=(150, 100)))

    shown = talk.ask(minus("a", 150, 104), saved=regions)

    assert shown == ("r2",)
    assert talk.prompts[0].points == (Point(150, 104, positive=False),)
    np.testing.assert_array_equal(talk.prompts[0].previous > 0, regions[1].mask)
    assert talk.mask("r2")[[100, 104], 150].tolist() == [True, False]


def test_a_lone_negative_click_in_a_hand_drawn_region_refines_that_and_not_a_remembered_one() -> None:
    talk = Talk()
    talk.ask(plus("a", 50, 50))

    assert talk.ask(minus("b", 150, 100), saved=[saved("drawn", at=(150, 100))]) == ("drawn",)


def test_a_remembered_mask_counts_more_than_an_older_state_of_it_that_was_saved() -> None:
    talk = Talk()
    (face,) = talk.ask(plus("a", 50, 50))
    talk.ask(minus("b", 58, 50))

    shown = talk.ask(minus("c", 58, 50), saved=[saved(face, at=(50, 50))])

    assert shown == (face,)
    assert len(talk.prompts[0].points) == 3


def test_a_lone_negative_click_with_nothing_to_refine_shows_nothing() -> None:
    talk = Talk()

    assert talk.ask(minus("a", 50, 50)) == ()
    assert talk.memory.targets == ()


def test_a_negative_click_in_a_remembered_mask_does_not_look_for_saved_regions() -> None:
    talk = Talk()
    (face,) = talk.ask(plus("a", 50, 50))

    assert talk.ask(minus("n", 50, 55), saved=[saved("same place", at=(50, 50), reach=30)]) == (face,)


def test_a_lone_negative_click_beside_everything_refines_the_nearest_saved_region_after_a_restart() -> None:
    regions = (saved("far", at=(150, 100)), saved("near", at=(50, 50)))

    assert Talk().ask(minus("n", 75, 60), saved=regions) == ("near",)


def test_a_lone_negative_click_prefers_the_saved_region_it_lies_in_to_one_whose_box_holds_it_too() -> None:
    ring = saved("ring", at=(50, 50), reach=30)
    ring.mask[square(50, 50, 20)] = False

    assert Talk().ask(minus("n", 50, 50), saved=[ring, saved("inside", at=(50, 50))]) == ("inside",)


def test_a_region_from_before_a_restart_goes_on_from_its_mask_after_a_click_is_deleted() -> None:
    talk = Talk()
    regions = (saved("r1", at=(50, 50)),)
    talk.ask(minus("n", 50, 55), minus("m", 45, 50), saved=regions)

    assert talk.ask(minus("m", 45, 50), saved=regions) == ("r1",)
    np.testing.assert_array_equal(talk.prompts[0].previous > 0, regions[0].mask)


def test_an_accepted_click_that_is_sent_again_counts_once() -> None:
    talk = Talk()
    talk.ask(plus("a", 50, 50))
    talk.ask(minus("n", 55, 50))

    talk.ask(plus("a", 50, 50), minus("m", 45, 50))

    assert [point.x for point in talk.prompts[0].points] == [55, 50, 45]


def test_an_empty_saved_region_is_nothing_to_refine() -> None:
    empty = Region("r1", "brush", "Face", Shape.BRUSH, np.zeros((SIZE.height, SIZE.width), dtype=np.bool_))

    assert Talk().ask(minus("a", 50, 50), saved=[empty]) == ()


def test_a_saved_region_of_one_pixel_can_be_refined() -> None:
    talk = Talk()
    region = saved("r1", at=(50, 50), reach=0)
    large = Size(width=2000, height=1500)
    mask = np.zeros((large.height, large.width), dtype=np.bool_)
    mask[700, 900] = True

    talk.ask(minus("a", 60, 50), saved=[region])
    assert (talk.prompts[0].previous > 0).sum() == 1
    talk.ask(minus("b", 900, 701), saved=[Region("r2", "brush", "Face", Shape.BRUSH, mask)], size=large)

    assert (talk.prompts[0].previous > 0).sum() == 1
    assert max(talk.prompts[0].previous.shape) <= 512


def test_a_positive_click_elsewhere_is_a_new_object() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))

    (second,) = talk.ask(plus("b", 150, 100))

    assert second != first
    assert talk.prompts[0].points == (Point(150, 100),)
    assert talk.prompts[0].previous is None


def test_a_positive_click_that_touches_the_last_mask_extends_it() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))

    (second,) = talk.ask(plus("b", 61, 50))

    assert second == first
    assert not segmentation(Prompt(points=(Point(50, 50),))).mask[50, 61]
    assert talk.prompts[0].previous is not None
    assert talk.mask(second)[50, [41, 61, 70]].tolist() == [True, True, True]


@pytest.mark.parametrize(("x", "same"), [(60, True), (61.1, True), (61.2, False), (62, False)])
def test_touching_ends_a_few_percent_outside_a_mask(x, same) -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))

    (second,) = talk.ask(plus("b", x, 50))

    assert (second == first) is same


def test_a_positive_click_in_an_older_mask_counts_more_than_one_that_touches_a_newer() -> None:
    talk = Talk()
    (older,) = talk.ask(plus("a", 50, 50))
    (newer,) = talk.ask(plus("b", 71, 50))

    assert newer != older
    assert talk.ask(plus("c", 60.3, 50)) == (older,)


def test_a_positive_click_in_the_last_mask_asks_for_that_object_afresh_from_all_its_clicks() -> None:
    # The mask may have been rejected, which nobody tells us. It must not steer the next one.
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))

    (second,) = talk.ask(plus("b", 55, 50))

    assert second == first
    assert talk.prompts[0].points == (Point(50, 50), Point(55, 50))
    assert talk.prompts[0].previous is None


def test_a_mask_over_most_of_the_image_does_not_draw_every_click_to_itself() -> None:
    talk = Talk()
    (failed,) = talk.ask(*(plus(f"a{x}-{y}", x, y) for x in range(10, 200, 20) for y in range(10, 150, 20)))

    assert talk.ask(plus("b", 90, 70)) != (failed,)


def test_an_old_mask_does_not_draw_clicks_to_itself() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50))

    region = saved(first, at=(50, 50))

    assert talk.ask(plus("b", 50, 55), after_s=RECENT_S + 1, saved=[region]) != (first,)


def test_a_mask_that_would_have_been_saved_if_it_had_been_kept_does_not_draw_clicks_to_itself() -> None:
    kept, dropped = Talk(), Talk()
    (first,) = kept.ask(plus("a", 50, 50))
    dropped.ask(plus("a", 50, 50))

    assert kept.ask(plus("b", 50, 55), after_s=SAVED_WITHIN_S + 1, saved=[saved(first, at=(50, 50))]) == (first,)
    assert dropped.ask(plus("b", 50, 55), after_s=SAVED_WITHIN_S + 1) != (first,)


def test_what_a_draft_that_holds_the_click_lacks_was_rejected_or_deleted() -> None:
    kept, rejected = Talk(), Talk()
    for talk in (kept, rejected):
        (first,) = talk.ask(plus("a", 50, 50), drafted=["b"])

    assert kept.ask(plus("b", 50, 55), drafted=[first, "b"]) == (first,)
    assert rejected.ask(plus("b", 50, 55), drafted=["b"]) != (first,)


@pytest.mark.parametrize(
    ("before", "after", "is_dropped"),
    [
        (None, [], True),
        (["x"], ["x", "y"], True),
        (["x"], ["x"], False),
        (["x"], ["x", "a"], False),
        (None, None, False),
    ],
    ids=["an empty draft came", "it changed", "it is as old as before", "it holds the earlier click", "there is none"],
)
def test_what_a_draft_that_was_saved_since_lacks_was_rejected_or_deleted(before, after, is_dropped) -> None:
    talk = Talk()
    (first,) = talk.ask(plus("a", 50, 50), drafted=before)

    (second,) = talk.ask(plus("b", 50, 55), drafted=after)

    assert (second != first) is is_dropped


def test_a_draft_that_holds_only_the_earlier_of_two_clicks_says_nothing() -> None:
    talk = Talk()
    (first,) = talk.ask(box("a", at=(40, 40)), drafted=["old"])

    assert talk.ask(plus("old", 50, 50), minus("n", 45, 45), drafted=["old"]) == (first,)


def test_a_negative_click_does_not_bring_back_a_region_that_was_deleted() -> None:
    talk = Talk()
    talk.ask(plus("a", 50, 50))

    assert talk.ask(minus("n", 50, 55), drafted=["n"]) == ()


def test_a_click_or_a_box_does_not_join_an_object_that_was_rejected() -> None:
    boxed, clicked = Talk(), Talk()
    (first,) = boxed.ask(box("a", at=(40, 40)))
    (second,) = clicked.ask(plus("p", 50, 50))

    assert boxed.ask(plus("p", 50, 50), drafted=["p"]) != (first,)
    assert clicked.ask(box("a", at=(40, 40)), drafted=["a"]) != (second,)


def test_a_box_joins_an_object_whose_clicks_are_still_on_the_screen() -> None:
    talk = Talk()
    (clicked,) = talk.ask(plus("p", 50, 50))

    assert talk.ask(box("a", at=(40, 40)), drafted=["p", "a"]) == (clicked,)


def test_an_object_whose_prompts_are_still_on_the_screen_was_not_rejected() -> None:
    talk = Talk()
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    assert talk.ask(minus("n", 15, 15), drafted=["a", "b", "n"]) == (first, second)
    assert talk.ask(minus("n", 15, 15), minus("m", 18, 18), drafted=["a", "n", "m"]) == (first,)


def test_very_many_accepted_clicks_are_replaced_by_the_mask_they_led_to() -> None:
    talk = Talk()
    (face,) = talk.ask(plus("a", 50, 50))

    for number in range(MAX_SETTLED_CLICKS + 5):
        assert talk.ask(minus(f"n{number}", 58, 50)) == (face,)

    assert len(talk.memory.target(face).clicks) < 10
    assert talk.mask(face)[50, [50, 58]].tolist() == [True, False]


# Boxes


def test_several_boxes_of_one_label_are_several_objects() -> None:
    talk = Talk()

    shown = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    assert len(set(shown)) == 2
    assert [prompt.box for prompt in talk.prompts] == [Box(10, 10, 30, 30), Box(100, 100, 120, 120)]


def test_only_new_boxes_are_asked_about_and_the_others_are_shown_again() -> None:
    talk = Talk()
    (first,) = talk.ask(box("a", at=(10, 10)))

    shown = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    assert shown[0] == first
    assert len(shown) == 2
    assert [prompt.box for prompt in talk.prompts] == [Box(100, 100, 120, 120)]


def test_a_moved_box_is_asked_afresh_for_the_same_region() -> None:
    talk = Talk()
    (first,) = talk.ask(box("a", at=(10, 10)))

    (second,) = talk.ask(box("a", at=(60, 60)))

    assert second == first
    assert talk.prompts[0].previous is None
    assert talk.mask(second)[[15, 65], [15, 65]].tolist() == [False, True]


def test_a_box_deleted_by_hand_takes_its_object_with_it() -> None:
    talk = Talk()
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    assert talk.ask(box("b", at=(100, 100))) == (second,)
    assert [target.region_id for target in talk.memory.targets] == [second]
    assert talk.ask(plus("c", 15, 15)) != (first,)


def test_an_object_with_clicks_outlives_its_deleted_box() -> None:
    talk = Talk()
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))
    talk.ask(plus("p", 15, 15))
    assert talk.ask(box("b", at=(100, 100))) == (second,)

    (shown,) = talk.ask(plus("p", 15, 15), plus("q", 40, 15))

    assert shown == first
    assert talk.prompts[0].box is None
    assert talk.prompts[0].points == (Point(15, 15), Point(40, 15))


def test_boxes_that_vanish_all_at_once_were_accepted_and_can_still_be_refined() -> None:
    talk = Talk()
    first, _ = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))
    talk.ask(box("c", at=(150, 20)))

    shown = talk.ask(minus("n", 15, 15))

    assert shown[0] == first


# Boxes and clicks, which never come together


def test_a_click_in_a_box_refines_the_object_of_the_box() -> None:
    talk = Talk()
    (boxed,) = talk.ask(box("a", at=(40, 40)))

    (shown,) = talk.ask(minus("n", 45, 45))

    assert shown == boxed
    assert talk.prompts[0].box == Box(40, 40, 60, 60)
    assert talk.prompts[0].points == (Point(45, 45, positive=False),)
    assert talk.mask(shown)[[45, 55], [45, 55]].tolist() == [False, True]


def test_a_click_hardly_outside_a_box_still_belongs_to_it() -> None:
    talk = Talk()
    (boxed,) = talk.ask(box("a", at=(40, 40)))

    assert talk.ask(plus("p", 60.2, 50)) == (boxed,)


def test_a_click_in_two_boxes_belongs_to_the_smaller_if_both_masks_hold_it() -> None:
    talk = Talk()
    _, inner = talk.ask(box("a", at=(40, 40), side=60), box("b", at=(60, 60)))

    assert talk.ask(minus("n", 70, 70))[0] == inner


def test_a_click_in_two_boxes_belongs_to_the_one_whose_mask_holds_it() -> None:
    talk = Talk()
    outer, inner = talk.ask(box("a", at=(40, 40), side=60), box("b", at=(60, 60)))
    talk.ask(minus("n", 70, 70))
    assert not talk.mask(inner)[70, 70]

    assert talk.ask(minus("m", 70, 70))[0] == outer


def test_a_click_in_two_masks_belongs_to_the_smaller_box_whichever_was_drawn_first() -> None:
    talk = Talk()
    inner, _ = talk.ask(box("b", at=(60, 60)), box("a", at=(40, 40), side=60))

    assert talk.ask(minus("n", 70, 70))[0] == inner


def test_clicks_in_different_boxes_and_elsewhere_are_told_apart() -> None:
    talk = Talk()
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    shown = talk.ask(plus("p", 15, 15), minus("n", 105, 105), plus("q", 160, 20))

    assert shown[:2] == (first, second)
    assert len(shown) == 3
    assert [prompt.points for prompt in talk.prompts] == [
        (Point(15, 15),),
        (Point(105, 105, positive=False),),
        (Point(160, 20),),
    ]


def test_a_negative_click_outside_the_boxes_belongs_to_the_object_clicked_with_it() -> None:
    talk = Talk()
    first, _ = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    shown = talk.ask(plus("p", 15, 15), minus("n", 60, 15))

    assert shown[0] == first
    assert [len(prompt.points) for prompt in talk.prompts] == [2]


def test_a_negative_click_outside_the_boxes_belongs_to_the_nearest_object_clicked_with_it() -> None:
    talk = Talk()
    (third,) = talk.ask(box("c", at=(60, 20)))
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    shown = talk.ask(plus("p", 15, 15), plus("q", 105, 105), minus("n", 70, 60))

    assert third not in shown
    assert shown[:2] == (first, second)
    assert [len(prompt.points) for prompt in talk.prompts] == [1, 2]


def test_an_old_box_does_not_draw_clicks_to_itself() -> None:
    talk = Talk()
    (boxed,) = talk.ask(box("a", at=(40, 40)))

    region = saved(boxed, at=(50, 50))

    assert talk.ask(plus("p", 50, 50), after_s=RECENT_S + 1, saved=[region]) != (boxed,)


def test_an_answer_about_one_of_several_boxes_repeats_the_others() -> None:
    # It replaces all suggestions on the screen: without the second, accepting would lose it.
    talk = Talk()
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    assert talk.ask(minus("n", 15, 15)) == (first, second)
    assert len(talk.prompts) == 1


def test_old_regions_are_not_repeated_unless_a_draft_says_that_they_are_still_there() -> None:
    talk = Talk()
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))
    talk.ask(minus("n", 15, 15), after_s=RECENT_S - 1)

    still_there = talk.ask(minus("n", 15, 15), minus("m", 20, 20), after_s=2, drafted=["a", "b"])
    assert still_there == (first, second)
    assert talk.ask(minus("n", 15, 15), minus("m", 20, 20)) == (first,)


def test_a_region_that_was_accepted_is_not_repeated() -> None:
    talk = Talk()
    first, second = talk.ask(box("a", at=(10, 10)), box("b", at=(100, 100)))

    shown = talk.ask(minus("n", 15, 15), saved=[saved(first, at=(20, 20)), saved(second, at=(110, 110))])

    assert shown == (first,)


def test_a_box_around_the_clicks_of_an_object_is_about_that_object() -> None:
    talk = Talk()
    (clicked,) = talk.ask(plus("p", 50, 50), minus("n", 80, 80))

    (shown,) = talk.ask(box("a", at=(40, 40)))

    assert shown == clicked
    assert talk.prompts[0].box == Box(40, 40, 60, 60)
    assert talk.prompts[0].points == (Point(50, 50),)
    assert talk.prompts[0].previous is None


def test_a_box_around_old_clicks_is_about_a_new_object() -> None:
    talk = Talk()
    (clicked,) = talk.ask(plus("p", 50, 50))

    region = saved(clicked, at=(50, 50))

    assert talk.ask(box("a", at=(40, 40)), after_s=RECENT_S + 1, saved=[region]) != (clicked,)


def test_a_box_around_the_clicks_of_two_objects_is_about_a_third() -> None:
    talk = Talk()
    (first,) = talk.ask(plus("p", 50, 50))
    (second,) = talk.ask(plus("q", 90, 50))

    (shown,) = talk.ask(box("a", at=(40, 20), side=80))

    assert shown not in {first, second}
    assert talk.prompts[0].points == ()


def test_two_boxes_around_the_same_click_are_two_objects() -> None:
    talk = Talk()
    (clicked,) = talk.ask(plus("p", 50, 50))

    shown = talk.ask(box("a", at=(40, 40)), box("b", at=(35, 35), side=40))

    assert shown[0] == clicked
    assert len(set(shown)) == 2


def test_clicks_and_boxes_in_one_hand_made_request_are_answered_together() -> None:
    talk = Talk()

    shown = talk.ask(box("a", at=(40, 40)), minus("n", 45, 45), plus("p", 150, 100))
    assert len(shown) == 2
    assert [(prompt.box is not None, len(prompt.points)) for prompt in talk.prompts] == [(True, 1), (False, 1)]

    talk.ask(box("b", at=(100, 20)), plus("q", 110, 30), minus("m", 140, 30))
    assert [(prompt.box is not None, len(prompt.points)) for prompt in talk.prompts] == [(True, 2)]


# Two annotators, other images, limits


def test_two_annotators_who_click_different_objects_each_keep_their_own() -> None:
    talk = Talk()
    (anna,) = talk.ask(plus("a1", 50, 50))
    (ben,) = talk.ask(plus("b1", 150, 100))

    assert talk.ask(plus("a1", 50, 50), minus("a2", 58, 50)) == (anna,)
    assert talk.ask(plus("b1", 150, 100), minus("b2", 158, 100)) == (ben,)
    assert talk.prompts[0].points == (Point(150, 100), Point(158, 100, positive=False))


def test_two_annotators_who_draw_boxes_do_not_delete_each_others() -> None:
    talk = Talk()
    (anna,) = talk.ask(box("a1", at=(10, 10)))
    (ben,) = talk.ask(box("b1", at=(100, 100)))

    assert talk.ask(box("a1", at=(10, 10)), box("a2", at=(60, 10)))[0] == anna
    assert talk.ask(minus("b2", 105, 105)) == (ben,)


def test_two_annotators_who_click_the_same_object_get_masks_of_that_object() -> None:
    talk = Talk()
    (anna,) = talk.ask(plus("a1", 50, 50))
    (ben,) = talk.ask(plus("b1", 52, 50))

    (shown,) = talk.ask(plus("a1", 50, 50), minus("a2", 45, 50))

    assert anna == ben == shown
    assert talk.mask(shown)[50, [50, 45]].tolist() == [True, False]


def test_nothing_is_remembered_of_an_image_that_had_another_size() -> None:
    talk = Talk()
    talk.ask(plus("a", 50, 50))

    assert talk.ask(minus("b", 50, 50), size=Size(width=300, height=300)) == ()


def test_the_objects_asked_about_last_are_remembered() -> None:
    talk = Talk()
    first = talk.ask(box("first", at=(0, 0), side=2))
    for number in range(MAX_TARGETS):
        talk.ask(box(f"b{number}", at=(10 + number % 100, 20 + number // 100), side=2))

    assert len(talk.memory.targets) == MAX_TARGETS
    assert first[0] not in {target.region_id for target in talk.memory.targets}


def test_what_is_remembered_does_not_change_with_the_segmenter_s_arrays() -> None:
    mask = np.ones((SIZE.height, SIZE.width), dtype=np.bool_)
    logits = np.eye(4, 5, dtype=np.float32)
    question = Question((plus("a", 5, 5),), (), SIZE, 0.0)
    plan = follow(KEY, Memory(), question, tuple)
    memory = plan.memory.answered(plan.region_ids[0], Segmentation(mask, 0.5, logits))

    mask[:], logits[:] = False, -1

    answer = memory.targets[0].answer
    assert answer is not None
    assert answer.mask.mask().all()
    assert (answer.logits.logits() == np.eye(4, 5)).all()


def test_its_size_is_about_what_its_masks_and_logits_need() -> None:
    talk = Talk()
    talk.ask(box("a", at=(40, 40), side=80))

    assert talk.memory.size_bytes == 80 * 80 // 8 + 80 * 80 * 4


def test_a_target_that_nobody_could_segment_says_so() -> None:
    talk = Talk()
    talk.ask(plus("a", 50, 50))
    target = talk.memory.targets[0].clicked((), Question((), (), SIZE, 0.0))

    assert target.prompt.points == (Point(50, 50),)
    with pytest.raises(PromptError):
        assert type(target)(region_id="x", asked_at=0.0).prompt


# Region ids and packed masks


def test_a_region_id_looks_like_label_studio_s_own() -> None:
    region_id = KEY.region_id("05_x768Wnq")

    assert len(region_id) == 10
    assert region_id.replace("-", "").replace("_", "").isalnum()


def test_region_ids_differ_between_prompts_labels_tags_and_images() -> None:
    other_image = ImageIdentity(label_studio_url="http://ls", project_id=1, task_id=3, url="/data/a.png")
    ids = {
        KEY.region_id("a"),
        KEY.region_id("b"),
        ConversationKey(IMAGE, "image", "Plate").region_id("a"),
        ConversationKey(IMAGE, "second", "Face").region_id("a"),
        ConversationKey(other_image, "image", "Face").region_id("a"),
    }

    assert len(ids) == 5


def test_an_empty_mask_packs_into_nothing() -> None:
    packed = PackedMask(np.zeros((3, 4), dtype=np.bool_))

    assert packed.area == 0
    assert not packed.mask().any()
    assert not packed.touches(Point(1, 1), reach_px=10)


# Clicks at one place


def repeated(talk: Talk, region: str) -> tuple[Point, ...]:
    return talk.memory.target(region).repeated(SIZE)


def test_a_second_click_at_the_place_of_the_first_repeats_it() -> None:
    talk = Talk()

    (region,) = talk.ask(plus("a", 50, 50), plus("b", 51, 50.5))

    assert repeated(talk, region) == (Point(50, 50), Point(51, 50.5))


def test_what_comes_after_repeated_clicks_is_none_of_them() -> None:
    talk = Talk()

    (region,) = talk.ask(plus("a", 50, 50), plus("b", 50, 50), minus("c", 50, 51), plus("d", 50, 50))

    assert repeated(talk, region) == (Point(50, 50), Point(50, 50))


@pytest.mark.parametrize(("x", "count"), [(52, 2), (52.1, 1)])
def test_in_a_small_image_two_pixels_away_is_the_same_place(x, count) -> None:
    talk = Talk()

    (region,) = talk.ask(plus("a", 50, 50), plus("b", x, 50))

    assert len(repeated(talk, region)) == count


@pytest.mark.parametrize(("x", "count"), [(520, 2), (521, 1)])
def test_in_a_large_image_half_a_percent_of_its_longer_side_is(x, count) -> None:
    talk = Talk()
    size = Size(width=3000, height=4000)

    (region,) = talk.ask(plus("a", 500, 50), plus("b", x, 50), size=size)

    assert len(talk.memory.target(region).repeated(size)) == count


def test_a_click_at_the_place_of_an_accepted_one_repeats_it() -> None:
    talk = Talk()
    (region,) = talk.ask(plus("a", 50, 50))

    assert talk.ask(plus("b", 50, 50)) == (region,)
    assert talk.ask(plus("c", 50, 50)) == (region,)

    assert repeated(talk, region) == (Point(50, 50),) * 3


def test_clicks_in_a_box_or_in_a_mask_from_before_a_restart_repeat_nothing() -> None:
    talk = Talk()
    (boxed,) = talk.ask(box("r", at=(40, 40)))
    talk.ask(plus("a", 50, 50), plus("b", 50, 50))
    (restored,) = talk.ask(minus("c", 150, 50), saved=[saved("kept", at=(150, 50))])
    talk.ask(plus("d", 145, 45), plus("e", 145, 45), drafted=["kept", "d", "e"])

    assert repeated(talk, boxed) == ()
    assert restored == "kept"
    assert repeated(talk, restored) == ()
