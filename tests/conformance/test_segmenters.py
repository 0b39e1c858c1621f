"""What every registered segmenter has to do. One that is not installed here is skipped with its reason."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import RgbImage, Size
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.protocols import Choosing
from cleanplate.engines.registry import SEGMENTERS, WITH_WEIGHTS, load_segmenter
from cleanplate.errors import EngineError, ImageError, PromptError
from cleanplate.pipeline.outlines import prompt_from_outline

HEIGHT, WIDTH = 90, 120
BLOCK = Box(30, 20, 80, 60)
INSIDE, OUTSIDE = Point(54, 39), Point(100, 80)
NOT_OBJECT = Point(100, 80, positive=False)

AROUND_BLOCK = np.hypot(*np.ogrid[-1.6 : 2.0 : HEIGHT * 1j, -2.0 : 2.4 : WIDTH * 1j]) < 1.3
"""An oval a little larger than the block."""

PROMPTS = {
    "a click": Prompt((INSIDE,)),
    "a click on the background": Prompt((OUTSIDE,)),
    "a click in each corner": Prompt(tuple(Point(x, y) for x in (0, WIDTH - 1) for y in (0, HEIGHT - 1))),
    "a click and a negative one": Prompt((INSIDE, NOT_OBJECT)),
    "the negative one first": Prompt((NOT_OBJECT, INSIDE)),
    "neighbours that disagree": Prompt((Point(54, 39), Point(55, 39, positive=False))),
    "a box": Prompt(box=BLOCK),
    "a box of a pixel": Prompt(box=Box(54, 39, 55, 40)),
    "a box of a part of a pixel": Prompt(box=Box(54.2, 39.2, 54.4, 39.4)),
    "a box of everything": Prompt(box=Box(0, 0, WIDTH, HEIGHT)),
    "a box partly outside": Prompt(box=Box(-40, -10, 50, 200)),
    "a box and a click": Prompt((INSIDE,), BLOCK),
    "a box and a negative click": Prompt((Point(31, 21, positive=False),), BLOCK),
    "a click beside the image and one on it": Prompt((Point(-5, 20), INSIDE)),
    "between pixels": Prompt((Point(54.49, 39.51),)),
    "an outline with all it says": prompt_from_outline(AROUND_BLOCK),
    "at the very edge": Prompt((Point(WIDTH - 0.51, -0.5),)),
}

ODD_SIZES = (Size(1, 1), Size(1, 40), Size(40, 1), Size(2, 2), Size(7, 3), Size(33, 31), Size(1300, 5), Size(1201, 803))


@pytest.fixture(scope="module", params=[*sorted(SEGMENTERS), "sam under openvino"])
def segmenter(request, segmenter_called):
    return segmenter_called(request.param)


@pytest.fixture(scope="module")
def embedding(segmenter):
    return segmenter.embed(scene())


@pytest.fixture(scope="module", params=sorted(SEGMENTERS.keys() - WITH_WEIGHTS))
def able_segmenter(request, segmenter_called):
    """One that need not learn anything first."""
    return segmenter_called(request.param)


def scene(seed: int = 3) -> RgbImage:
    """A noisy red block on a noisy green ground."""
    random = np.random.default_rng(seed)
    image = random.normal((60, 120, 70), 12, (HEIGHT, WIDTH, 3))
    rows, columns = BLOCK.slices(Size(WIDTH, HEIGHT))
    image[rows, columns] += (140, -70, -20)
    return image.clip(0, 255).astype(np.uint8)


def noise(size: Size) -> RgbImage:
    return np.random.default_rng(5).integers(0, 256, (size.height, size.width, 3), dtype=np.uint8)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_an_answer_is_a_mask_of_the_images_size_with_something_in_it(segmenter, embedding, prompt) -> None:
    answer = segmenter.segment(embedding, prompt)

    assert answer.mask.shape == (HEIGHT, WIDTH)
    assert answer.mask.dtype == np.bool_
    assert answer.mask.any()
    assert 0 <= answer.score <= 1
    assert answer.logits.ndim == 2
    assert answer.logits.dtype == np.float32
    assert np.isfinite(answer.logits).all()


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_positive_clicks_lie_in_the_mask_and_negative_ones_do_not(segmenter, embedding, prompt) -> None:
    answer = segmenter.segment(embedding, prompt)

    size = Size(WIDTH, HEIGHT)
    for point in prompt.points:
        if point.inside(size):
            x, y = point.pixel(size)
            assert answer.mask[y, x] == point.positive, point


@pytest.mark.parametrize("prompt", [PROMPTS["a click"], PROMPTS["a box"], PROMPTS["a box and a click"]])
def test_a_plain_object_is_found(able_segmenter, prompt) -> None:
    mask = able_segmenter.segment(able_segmenter.embed(scene()), prompt).mask

    truth = np.zeros_like(mask)
    truth[BLOCK.slices(Size(WIDTH, HEIGHT))] = True
    assert (mask & truth).sum() > 0.9 * (mask | truth).sum()


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_the_same_question_gets_the_same_answer(segmenter, embedding, prompt) -> None:
    first = segmenter.segment(embedding, prompt)
    second = segmenter.segment(embedding, prompt)

    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(first.logits, second.logits)
    assert first.score == second.score


def candidates(segmenter, embedding, *clicks):
    """What a segmenter thinks that clicks may mean, if it knows several meanings."""
    if not isinstance(segmenter, Choosing):
        pytest.skip("it knows one meaning of a click")
    return segmenter.candidates(embedding, clicks)


@pytest.mark.parametrize("place", [INSIDE, OUTSIDE, Point(0, 0)], ids=str)
def test_the_first_meaning_of_a_click_is_its_answer(segmenter, embedding, place) -> None:
    first, *others = candidates(segmenter, embedding, place)

    answer = segmenter.segment(embedding, Prompt((place,)))
    np.testing.assert_array_equal(first.mask, answer.mask)
    np.testing.assert_array_equal(first.logits, answer.logits)
    assert first.score == answer.score
    assert len(others) <= 2
    for other in others:
        assert not np.array_equal(other.mask, first.mask)
        assert 0 <= other.score <= 1


def test_every_meaning_holds_all_the_clicks_and_can_be_refined(segmenter, embedding) -> None:
    clicks = (INSIDE, INSIDE._replace(x=INSIDE.x + 2), Point(-3, 5))

    for found in candidates(segmenter, embedding, *clicks):
        repeated = segmenter.segment(embedding, Prompt(previous=found.logits))
        refined = segmenter.segment(embedding, Prompt((*clicks, NOT_OBJECT), previous=found.logits))

        np.testing.assert_array_equal(repeated.mask, found.mask)
        for mask in (found.mask, refined.mask):
            assert [mask[point.pixel(Size(WIDTH, HEIGHT))[::-1]] for point in clicks[:2]] == [True, True]
        assert not (refined.mask & ~found.mask).any()


def test_a_click_beside_the_image_means_nothing(segmenter, embedding) -> None:
    with pytest.raises(PromptError):
        candidates(segmenter, embedding, Point(-1, 5))


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_any_size_of_image_is_answered(segmenter, size) -> None:
    embedding = segmenter.embed(noise(size))
    corner = Point(size.width - 1, size.height - 1)

    masks = [
        segmenter.segment(embedding, prompt).mask
        for prompt in (Prompt((corner,)), Prompt(box=Box(0, 0, size.width, size.height)))
    ]

    assert embedding.size == size
    assert embedding.size_bytes > 0
    for mask in masks:
        assert mask.shape == (size.height, size.width)
        assert mask.any()
    assert masks[0][-1, -1]


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_an_image_of_one_colour_is_answered(segmenter, colour) -> None:
    embedding = segmenter.embed(np.full((50, 70, 3), colour, dtype=np.uint8))

    clicked = segmenter.segment(embedding, Prompt((Point(20, 20),)))
    boxed = segmenter.segment(embedding, Prompt(box=Box(10, 10, 30, 40)))

    assert clicked.mask[20, 20]
    assert boxed.mask.any()


def test_a_negative_click_adds_nothing_and_an_answer_can_be_refined_without_its_first_click(
    segmenter, embedding
) -> None:
    first = segmenter.segment(embedding, Prompt((INSIDE,)))
    # Somewhere in the mask, but not where it was clicked: an engine that has learnt nothing may mask anything.
    candidates = [(int(x), int(y)) for y, x in np.argwhere(first.mask) if abs(x - INSIDE.x) + abs(y - INSIDE.y) > 20]
    x, y = candidates[len(candidates) // 2]

    refined = segmenter.segment(embedding, Prompt((Point(x, y, positive=False),), previous=first.logits))

    assert not refined.mask[y, x]
    assert refined.mask.any()
    assert not (refined.mask & ~first.mask).any()


def test_two_embeddings_of_one_image_answer_alike(segmenter, embedding) -> None:
    answer = segmenter.segment(segmenter.embed(scene()), PROMPTS["a click and a negative one"])

    np.testing.assert_array_equal(answer.mask, segmenter.segment(embedding, PROMPTS["a click and a negative one"]).mask)


places = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=places, later=st.lists(st.tuples(places, st.booleans()), max_size=4, unique_by=lambda click: click[0]))
@example(first=(0, 0), later=[((2, 0), True), ((0, 1), False)])
def test_no_order_of_clicks_breaks_the_promises(segmenter, embedding, first, later) -> None:
    points = (Point(*first), *(Point(*place, positive) for place, positive in later if place != first))
    answer = None
    for count in range(1, len(points) + 1):
        before, logits = (answer.mask, answer.logits) if answer else (None, None)

        answer = segmenter.segment(embedding, Prompt(points[:count], previous=logits))

        for point in points[:count]:
            assert answer.mask[int(point.y), int(point.x)] == point.positive
        if before is not None and not points[count - 1].positive:
            assert not (answer.mask & ~before).any()


def test_clicks_sent_at_once_get_the_same_answer_as_one_after_the_other(able_segmenter) -> None:
    # A network sees clicks that come at once as one prompt, as it learnt to; only without one they are told in turn.
    segmenter, embedding = able_segmenter, able_segmenter.embed(scene())
    clicks = (INSIDE, Point(32, 22, positive=False), Point(100, 30))

    answer = segmenter.segment(embedding, Prompt(clicks[:1]))
    for count in (2, 3):
        answer = segmenter.segment(embedding, Prompt(clicks[:count], previous=answer.logits))
    at_once = segmenter.segment(embedding, Prompt(clicks))

    np.testing.assert_array_equal(at_once.mask, answer.mask)


def test_an_earlier_answer_alone_is_repeated(segmenter, embedding) -> None:
    answer = segmenter.segment(embedding, Prompt((INSIDE,)))

    repeated = segmenter.segment(embedding, Prompt(previous=answer.logits))

    np.testing.assert_array_equal(repeated.mask, answer.mask)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt((Point(-1, 5),)),
        Prompt((Point(WIDTH, 5),)),
        Prompt((Point(5, HEIGHT - 0.5),)),
        Prompt(box=Box(-20, -20, 0, 0)),
        Prompt(box=Box(WIDTH, 0, WIDTH + 9, 9)),
        Prompt((Point(500, 500, positive=False),), box=Box(-9, 0, -1, 9)),
    ],
)
def test_a_prompt_beside_the_image_is_refused(segmenter, embedding, prompt) -> None:
    with pytest.raises(PromptError):
        segmenter.segment(embedding, prompt)


def test_an_embedding_of_another_engine_is_refused(segmenter) -> None:
    class Foreign:
        size = Size(WIDTH, HEIGHT)
        size_bytes = 1

    with pytest.raises(EngineError):
        segmenter.segment(Foreign(), Prompt((INSIDE,)))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), dtype=np.uint8),
        np.zeros((10, 10, 4), dtype=np.uint8),
        np.zeros((10, 10, 3), dtype=np.float32),
        np.zeros((0, 10, 3), dtype=np.uint8),
    ],
)
def test_what_is_not_an_image_is_refused(segmenter, image) -> None:
    with pytest.raises(ImageError):
        segmenter.embed(image)


def test_inputs_are_left_alone_and_not_kept(segmenter) -> None:
    image = scene()
    embedding = segmenter.embed(image)
    answer = segmenter.segment(embedding, Prompt((INSIDE,)))
    logits_before = answer.logits.copy()

    np.testing.assert_array_equal(image, scene())
    image[:] = 0
    again = segmenter.segment(embedding, Prompt((INSIDE,)))
    segmenter.segment(embedding, Prompt((INSIDE, NOT_OBJECT), previous=answer.logits))

    np.testing.assert_array_equal(again.mask, answer.mask)
    np.testing.assert_array_equal(answer.logits, logits_before)


def test_views_and_read_only_images_are_taken(segmenter) -> None:
    image = scene()
    view = np.asfortranarray(image)[::-1]
    view.flags.writeable = False

    mask = segmenter.segment(segmenter.embed(view), Prompt((Point(54, HEIGHT - 1 - 39),))).mask

    expected = segmenter.segment(segmenter.embed(image[::-1].copy()), Prompt((Point(54, HEIGHT - 1 - 39),))).mask
    np.testing.assert_array_equal(mask, expected)


def test_threads_never_mix_images(segmenter) -> None:
    embeddings = [segmenter.embed(scene(seed)[:, :: (1 if seed % 2 else -1)]) for seed in range(4)]
    prompts = [PROMPTS["a click and a negative one"], PROMPTS["a box"], PROMPTS["a click on the background"]]
    questions = [(embedding, prompt) for embedding in embeddings for prompt in prompts]
    expected = [segmenter.segment(*question).mask for question in questions]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda question: segmenter.segment(*question).mask, questions))

    for answer, mask in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(answer, mask)


def test_the_version_names_the_engine_and_stays(segmenter, request, seeded_weights) -> None:
    name = request.node.callspec.params["segmenter"]

    assert segmenter.version.startswith(name.split()[0])
    assert segmenter.version == load_segmenter(name.split()[0], seeded_weights.get(name)).version
