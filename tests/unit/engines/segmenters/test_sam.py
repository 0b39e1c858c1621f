from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="sam needs torch")
segment_anything = pytest.importorskip("segment_anything", reason="an oracle: pip install segment-anything torchvision")

from cleanplate.domain.geometry import Box, Point  # noqa: E402  (after the skip)
from cleanplate.domain.image import Size  # noqa: E402
from cleanplate.domain.prompt import Prompt  # noqa: E402
from cleanplate.engines.devices import runtime_of  # noqa: E402
from cleanplate.engines.published import SAM_VIT_B, SAM_VIT_H  # noqa: E402
from cleanplate.engines.registry import load_segmenter  # noqa: E402
from cleanplate.engines.segmenters import sam as engine  # noqa: E402
from cleanplate.engines.segmenters.sam import Sam, load  # noqa: E402
from cleanplate.engines.segmenters.sam_parts import promises  # noqa: E402
from cleanplate.engines.segmenters.sam_parts.square import (  # noqa: E402
    SAM_SQUARE,
    enlarged,
    logits_in_square,
    mask_in_image,
    picture_of,
    size_in_square,
)
from cleanplate.engines.weights import Weights, digest_of  # noqa: E402
from cleanplate.errors import (  # noqa: E402
    EngineError,
    EngineMemoryError,
    EngineMissingError,
    PromptError,
    WeightsError,
)
from fakes import sam_checkpoints as checkpoints  # noqa: E402

ODD_SIZES = [(90, 120), (33, 31), (1, 40), (803, 1201), (1024, 1024), (700, 1025), (2000, 3)]

WIDTH, HEIGHT = 120, 90
FIRST, SECOND = Point(37.5, 41), Point(80, 61.25)
BOX = Box(12.5, 20, 95, 70)
PROMPTS = {
    "a click": Prompt((FIRST,)),
    "two clicks": Prompt((FIRST, SECOND)),
    "a negative one, too": Prompt((FIRST, SECOND._replace(positive=False))),
    "a box": Prompt(box=BOX),
    "a box and clicks": Prompt((FIRST, SECOND._replace(positive=False)), BOX),
}


@pytest.fixture(scope="module")
def reference():
    return checkpoints.seeded_sam()


@pytest.fixture(scope="module")
def checkpoint(reference, tmp_path_factory) -> Path:
    return checkpoints.state_dict(tmp_path_factory.mktemp("sam") / "sam.pth", reference)


@pytest.fixture(scope="module", params=["torch", "openvino"])
def sam(request, checkpoint) -> Sam:
    return loaded(checkpoint, runtime=request.param)


@pytest.fixture(scope="module")
def predictor(reference):
    """The authors' predictor, for the noise of WIDTH × HEIGHT."""
    predictor = segment_anything.SamPredictor(reference)
    predictor.set_image(noise(HEIGHT, WIDTH))
    return predictor


@pytest.fixture(scope="module")
def embedding(sam):
    return sam.embed(noise(HEIGHT, WIDTH))


def loaded(path: Path, precision: str = "fp32", runtime: str = "torch") -> Sam:
    try:
        return load(Weights(checkpoint=path, device="cpu", precision=precision, runtime=runtime))
    except EngineMissingError as error:
        pytest.skip(str(error))


def noise(height: int, width: int, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def predicted(predictor, prompt: Prompt):
    """What the authors' predictor answers: full logits, score and small logits of the best mask."""
    unclear = len(prompt.points) == 1 and prompt.box is None and prompt.previous is None
    logits, scores, small = predictor.predict(
        point_coords=np.array([(point.x, point.y) for point in prompt.points]) if prompt.points else None,
        point_labels=np.array([point.positive for point in prompt.points]) if prompt.points else None,
        box=None if prompt.box is None else np.array(prompt.box),
        mask_input=None if prompt.previous is None else prompt.previous[None],
        multimask_output=unclear,
        return_logits=True,
    )
    best = int(scores.argmax())
    return logits[best], float(scores[best]), small[best]


def relative_error(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


# Parity with the authors' predictor


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_prepares_an_image_as_the_authors_do(reference, sam, height, width) -> None:
    image = noise(height, width)
    predictor = segment_anything.SamPredictor(reference)

    features = sam._encoder.encode(picture_of(image))

    if (height, width) == (2000, 3):
        # It would be 1.5 pixels wide, which the authors round up, too.
        assert size_in_square(Size(width, height)) == Size(2, 1024)
    predictor.set_image(image)
    assert features.std() > 0.1
    assert relative_error(features, predictor.features[0]) < 1e-5


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize(("height", "width"), [(90, 120), (803, 1201)])
def test_in_bfloat16_nearly_so(reference, checkpoint, height, width, runtime) -> None:
    if runtime == "openvino" and runtime_of("auto", torch.device("cpu"), "bf16") != "openvino":
        with pytest.raises(EngineError, match="cannot compute in bf16 on this processor"):
            loaded(checkpoint, "bf16", runtime)
        return
    image = noise(height, width)
    predictor = segment_anything.SamPredictor(reference)
    predictor.set_image(image)

    features = loaded(checkpoint, "bf16", runtime)._encoder.encode(picture_of(image))

    assert features.dtype == torch.float32
    assert relative_error(features, predictor.features[0]) < 2e-2


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_masks_and_scores_are_the_authors(sam, predictor, embedding, prompt) -> None:
    logits, score, small = predicted(predictor, prompt)

    drawing = sam._drawings(embedding, prompt.points, prompt.box, None)[0]
    answer = sam.segment(embedding, prompt)

    margin = 1e-3 * np.abs(small).max()
    np.testing.assert_allclose(drawing.logits, small, atol=margin)
    assert answer.score == pytest.approx(score * answer.stability, abs=1e-4)
    clicked = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    if not np.array_equal(answer.logits, drawing.logits):  # noise contradicts clicks, and trained networks seldom do
        clicked |= mask_in_image(enlarged(answer.logits), embedding.size) != mask_in_image(
            enlarged(drawing.logits), embedding.size
        )
    for point in prompt.points:
        x, y = point.pixel(embedding.size)
        clicked[y, x] = True
    assert clicked.mean() < 0.01
    clear = (np.abs(logits) > margin) & ~clicked
    np.testing.assert_array_equal(answer.mask[clear], logits[clear] > 0)


@pytest.mark.parametrize("box", [None, BOX])
def test_an_earlier_answer_is_refined_as_the_authors_do_it(sam, predictor, embedding, box) -> None:
    _, _, previous = predicted(predictor, PROMPTS["a click"])
    logits, score, small = predicted(predictor, Prompt((FIRST, SECOND), box, previous))

    drawing = sam._drawings(embedding, (FIRST, SECOND), box, previous)[0]

    np.testing.assert_allclose(drawing.logits, small, atol=1e-3 * np.abs(small).max())
    assert drawing.score == pytest.approx(score, abs=1e-4)
    assert (mask_in_image(enlarged(drawing.logits), embedding.size) == (logits > 0)).mean() > 0.999


def test_the_best_of_three_masks_answers_a_single_click(sam, predictor, embedding) -> None:
    _, scores, small = predictor.predict(np.array([[FIRST.x, FIRST.y]]), np.array([1]), multimask_output=True)

    drawing = sam._drawings(embedding, (FIRST,), None, None)[0]

    assert len(scores) == 3
    assert drawing.score == pytest.approx(float(scores.max()), abs=1e-4)
    np.testing.assert_allclose(drawing.logits, small[scores.argmax()], atol=1e-3)


def test_a_click_may_mean_each_of_the_three_masks_the_likeliest_first(sam, predictor, embedding) -> None:
    _, scores, small = predictor.predict(np.array([[FIRST.x, FIRST.y]]), np.array([1]), multimask_output=True)

    found = sam.candidates(embedding, (FIRST,))

    assert len(found) == 3
    for answer, mask in zip(found, np.argsort(-scores), strict=True):
        assert answer.score == pytest.approx(float(scores[mask]) * answer.stability, abs=1e-4)
        assert np.isclose(answer.logits, small[mask], atol=1e-3).mean() > 0.999  # but for the click's own spot


def test_a_score_tells_of_the_stability_too(sam, embedding, monkeypatch) -> None:
    logits = np.full((256, 256), -5, dtype=np.float32)
    logits[:40, :100], logits[:10, :100] = 0.5, 5  # a quarter is sure, and all of it is inside
    monkeypatch.setattr(sam, "_drawings", lambda *_: [engine.Drawing(logits, 0.8)])

    answer = sam.segment(embedding, Prompt((Point(1, 1),)))

    assert answer.stability == pytest.approx(0.25, abs=0.02)
    assert answer.score == pytest.approx(0.8 * answer.stability)


def test_everything_is_what_the_authors_automatic_masks_are(reference, sam, monkeypatch) -> None:
    image = noise(700, 1024)
    embedding = sam.embed(image)
    clicks = [Point(x * 1024, y * 700) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    drawings = [drawing for click in clicks for drawing in sam._drawings(embedding, (click,), None, None)]
    likely = amid([drawing.score for drawing in drawings])
    shown = promises.ImageInSquare(embedding.size, SAM_SQUARE)
    stable = amid([shown.stability(enlarged(each.logits)) for each in drawings if each.score > likely])
    monkeypatch.setattr(promises, "SURVEY_SIDE", 2)
    monkeypatch.setattr(promises, "LEAST_EXPECTED", likely)
    monkeypatch.setattr(promises, "LEAST_STABLE", stable)
    monkeypatch.setattr(promises, "MOST_SHARED", 1.0)  # noise is everywhere, and so are its boxes
    generator = segment_anything.SamAutomaticMaskGenerator(
        reference, points_per_side=2, pred_iou_thresh=likely, stability_score_thresh=stable, box_nms_thresh=1.0
    )

    found = sam.survey(embedding)

    expected = generator.generate(image)
    assert 0 < len(expected) < len(drawings)
    assert len(found) == len(expected)
    for each in expected:
        nearest = max(found, key=lambda answer: (answer.mask == each["segmentation"]).mean())
        assert (nearest.mask == each["segmentation"]).mean() > 0.999
        assert nearest.score == pytest.approx(each["predicted_iou"] * each["stability_score"], abs=1e-2)


def amid(numbers: list[float]) -> float:
    """A threshold that half of the numbers pass, between the two in the middle."""
    ordered = sorted(numbers)
    return (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2


def test_of_things_whose_boxes_overlap_the_likeliest_is_kept(sam, embedding, monkeypatch) -> None:
    def square_at(place: int, score: float):
        logits = np.full((256, 256), -5, dtype=np.float32)
        logits[20:60, place : place + 40] = 5
        return engine.Drawing(logits, score)

    drawn = [square_at(20, 0.9), square_at(24, 0.95), square_at(120, 0.92)]
    monkeypatch.setattr(promises, "SURVEY_SIDE", 1)
    monkeypatch.setattr(sam, "_drawings", lambda *_: drawn)

    found = sam.survey(embedding)

    np.testing.assert_array_equal(found[0].logits, drawn[1].logits)
    np.testing.assert_array_equal(found[1].logits, drawn[2].logits)
    assert len(found) == 2


def test_where_nothing_is_certain_enough_there_is_nothing(sam, embedding, monkeypatch) -> None:
    monkeypatch.setattr(promises, "SURVEY_SIDE", 2)
    monkeypatch.setattr(promises, "LEAST_EXPECTED", 1.0)

    assert sam.survey(embedding) == ()


def test_the_stability_is_what_the_authors_compute(sam, embedding) -> None:
    from segment_anything.utils.amg import calculate_stability_score  # noqa: PLC0415  (after the skip)

    answer = sam.segment(embedding, PROMPTS["a box"])

    fitted = size_in_square(embedding.size)
    full = torch.from_numpy(enlarged(answer.logits))[None, : fitted.height, : fitted.width]
    assert answer.stability == pytest.approx(float(calculate_stability_score(full, 0.0, 1.0)[0]), abs=1e-6)


def test_a_full_vit_b_gives_the_authors_embedding(tmp_path) -> None:
    reference = checkpoints.seeded_sam(**checkpoints.VIT_B)
    path = checkpoints.state_dict(tmp_path / "vit_b.pth", reference)
    predictor = segment_anything.SamPredictor(reference)
    image = noise(67, 91)

    predictor.set_image(image)

    for runtime in ("torch", "openvino"):
        sam = loaded(path, runtime=runtime)
        assert sam.version.startswith("sam vit_b ")
        assert relative_error(sam._encoder.encode(picture_of(image)), predictor.features[0]) < 1e-5


@pytest.mark.parametrize(
    "sizes",
    [{"width": 48, "heads": 3, "depth": 3, "whole": (0, 2)}, {"width": 16, "heads": 1, "depth": 1, "whole": ()}],
)
def test_other_sizes_are_told_from_the_tensors(tmp_path, sizes) -> None:
    reference = checkpoints.seeded_sam(**sizes, seed=3)
    predictor = segment_anything.SamPredictor(reference)
    image = noise(20, 30)
    predictor.set_image(image)

    path = checkpoints.state_dict(tmp_path / "sam.pth", reference)
    for runtime in ("torch", "openvino"):
        features = loaded(path, runtime=runtime)._encoder.encode(picture_of(image))

        assert relative_error(features, predictor.features[0]) < 1e-5


# Between the square and the image


@pytest.mark.parametrize(("height", "width"), [*ODD_SIZES, (1500, 2111)])
def test_a_mask_is_what_bringing_all_logits_to_the_images_size_gives(reference, height, width) -> None:
    random = np.random.default_rng(height)
    logits = random.normal(-1, 1, (256, 256)).astype(np.float32)
    logits[random.random((256, 256)) < 0.5] -= 3
    size = Size(width, height)

    mask = mask_in_image(enlarged(logits), size)

    fitted = size_in_square(size)
    with torch.inference_mode():
        full = reference.postprocess_masks(
            torch.from_numpy(logits)[None, None], (fitted.height, fitted.width), (height, width)
        )[0, 0].numpy()
    np.testing.assert_array_equal(mask[np.abs(full) > 1e-4], full[np.abs(full) > 1e-4] > 0)


def test_nothing_positive_is_an_empty_mask() -> None:
    assert not mask_in_image(np.full((1024, 1024), -1, dtype=np.float32), Size(50, 40)).any()


def test_logits_over_a_whole_image_fill_the_images_part_of_the_square() -> None:
    logits = np.full((30, 60), 8, dtype=np.float32)

    square = logits_in_square(logits, Size(600, 300))

    np.testing.assert_array_equal(square[:128] > 0, True)
    np.testing.assert_array_equal(square[128:] < 0, True)
    assert logits_in_square(square, Size(600, 300)) is square


# What it promises


def test_an_empty_answer_to_a_box_becomes_the_box(sam, embedding, monkeypatch) -> None:
    empty = engine.Drawing(np.full((256, 256), -5, dtype=np.float32), 0.9)
    monkeypatch.setattr(sam, "_drawings", lambda *_: [empty])

    answer = sam.segment(embedding, Prompt(box=Box(20, 30, 60, 70)))

    assert answer.score == 0
    assert answer.mask[30:70, 20:60].all()
    assert answer.mask.sum() < 1.1 * 40 * 40


def test_an_empty_answer_to_a_click_becomes_a_spot(sam, embedding, monkeypatch) -> None:
    monkeypatch.setattr(sam, "_drawings", lambda *_: [engine.Drawing(np.full((256, 256), -5, dtype=np.float32), 0.9)])

    answer = sam.segment(embedding, Prompt((Point(50, 40),)))

    assert answer.mask[40, 50]
    assert answer.mask.sum() < 10
    assert sam.segment(embedding, Prompt(previous=answer.logits)).mask[40, 50]


def test_an_empty_earlier_answer_cannot_be_repeated(sam, embedding) -> None:
    with pytest.raises(PromptError, match="click on the object"):
        sam.segment(embedding, Prompt(previous=np.full((256, 256), -5, dtype=np.float32)))


def test_eight_threads_never_get_another_image_s_mask(sam) -> None:
    embeddings = [sam.embed(noise(70 + 3 * number, 100, seed=number)) for number in range(6)]
    questions = [(embedding, prompt) for embedding in embeddings for prompt in PROMPTS.values()]
    expected = [sam.segment(*question).mask for question in questions]
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(questions)), 3))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: sam.segment(*questions[number]).mask, order))

    assert len({mask.tobytes() for mask in expected}) == len(questions)
    for number, mask in zip(order, answers, strict=True):
        np.testing.assert_array_equal(mask, expected[number])


# Packed embeddings


def test_a_packed_embedding_comes_back_and_answers_alike(sam, embedding) -> None:
    content = sam.pack(embedding)

    again = sam.unpack(content)

    assert len(content) < embedding.size_bytes + 200
    assert embedding.size_bytes == 256 * 64 * 64 * 2
    assert again.size == Size(WIDTH, HEIGHT)
    np.testing.assert_array_equal(again.features, embedding.features)
    np.testing.assert_array_equal(
        sam.segment(again, PROMPTS["a box"]).mask, sam.segment(embedding, PROMPTS["a box"]).mask
    )


def test_embeddings_cannot_be_changed(embedding) -> None:
    with pytest.raises(ValueError, match="read-only"):
        embedding.features[0] = 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content[:50] + bytes([content[50] ^ 1]) + content[51:],
        lambda content: content[:99999] + bytes([content[99999] ^ 1]) + content[100000:],
        lambda content: b"\0" * len(content),
    ],
)
def test_damaged_bytes_are_an_error(sam, embedding, damage) -> None:
    with pytest.raises(EngineError):
        sam.unpack(damage(sam.pack(embedding)))


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (2**31, 2**31), (2**20, 2**20)])
def test_bytes_that_tell_of_an_impossible_image_are_an_error(sam, embedding, width, height) -> None:
    forged = type(embedding)(Size(width, height), embedding.features, embedding.maker)

    with pytest.raises(EngineError, match=f"{width}×{height}"):
        sam.unpack(sam.pack(forged))


def test_numbers_that_are_not_finite_are_not_unpacked(sam, embedding) -> None:
    features = embedding.features.copy()
    features[3, 4, 5] = np.nan

    with pytest.raises(EngineError, match="not finite"):
        sam.unpack(sam.pack(type(embedding)(embedding.size, features, embedding.maker)))


def test_an_embedding_of_other_weights_or_another_precision_is_refused(sam, embedding, checkpoint) -> None:
    other = loaded(checkpoint, "bf16")

    with pytest.raises(EngineError, match="embed the image again"):
        other.segment(embedding, PROMPTS["a click"])
    with pytest.raises(EngineError, match="embed the image again"):
        other.unpack(sam.pack(embedding))


# Weights


def changed(reference, **tensors) -> dict:
    named = reference.state_dict() | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"image_encoder__blocks__1__attn__rel_pos_w": None}, r"blocks\.1\.attn\.rel_pos_w is missing"),
        ({"mask_decoder__iou_token__weight": None}, r"iou_token\.weight is missing"),
        ({"image_encoder__patch_embed__proj__weight": None}, "no SAM in it"),
        ({"image_encoder__patch_embed__proj__weight": torch.tensor(1.0)}, "no SAM in it"),
        ({"image_encoder__blocks__0__mlp__lin1__bias": None}, "no SAM with a vision transformer"),
        ({"image_encoder__blocks__0__attn__rel_pos_h": torch.zeros(27)}, "no SAM with a vision transformer"),
        ({"image_encoder__blocks__0__attn__rel_pos_h": torch.zeros(27, 0)}, "heads of 0"),
        ({"image_encoder__blocks__0__attn__rel_pos_h": torch.zeros(27, 5)}, "32 channels in heads of 5"),
        ({"image_encoder__blocks__0__attn__rel_pos_h": torch.zeros(999, 16)}, "windows of 500"),
        ({"image_encoder__pos_embed": torch.zeros(1, 32, 32, 32)}, r"pos_embed has the shape \(1, 32, 32, 32\)"),
        ({"mask_decoder__hf_token__weight": torch.zeros(1, 256)}, r"hf_token\.weight is no part of SAM"),
        ({"image_encoder__neck__0__weight": torch.full((256, 32, 1, 1), float("nan"))}, "not finite"),
        ({"mask_decoder__iou_token__weight": torch.full((1, 256), float("inf"))}, "not finite"),
        ({"mask_decoder__iou_token__weight": torch.zeros(1, 256, dtype=torch.int64)}, "LongStorage"),
    ],
)
def test_weights_that_are_not_sam_s_are_an_error_that_says_why(tmp_path, reference, tensors, message) -> None:
    path = tmp_path / "sam.pth"
    torch.save(changed(reference, **tensors), path)

    with pytest.raises(WeightsError, match=message) as caught:
        loaded(path)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.1, 0.9, 0.999])
def test_a_truncated_file_is_an_error(tmp_path, checkpoint, share) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "sam.pth"
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(WeightsError, match=r"sam\.pth"):
        loaded(path)


def test_a_published_name_with_other_contents_is_an_error(tmp_path, reference) -> None:
    path = checkpoints.state_dict(tmp_path / SAM_VIT_B.name, reference)

    with pytest.raises(WeightsError, match=r"SHA-256 begins with .*, not with ec2df6273261"):
        loaded(path)


def test_without_weights_the_error_says_what_to_fetch(tmp_path) -> None:
    with pytest.raises(EngineMissingError, match=r"sam_vit_b_01ec64\.pth.*Apache-2\.0.*CLEANPLATE_SAM_CHECKPOINT"):
        load_segmenter("sam", Weights(folder=tmp_path, device="cpu"))


def test_on_a_processor_the_quickest_weights_are_found_first_and_on_a_gpu_the_best(tmp_path) -> None:
    for published in (SAM_VIT_B, SAM_VIT_H):
        (tmp_path / published.name).touch()

    assert engine._find(Weights(folder=tmp_path), best_first=False) == tmp_path / SAM_VIT_B.name
    assert engine._find(Weights(folder=tmp_path), best_first=True) == tmp_path / SAM_VIT_H.name


def test_its_version_names_the_network_the_weights_and_the_precision(checkpoint) -> None:
    for precision in ("fp32", "bf16"):
        assert loaded(checkpoint, precision).version == f"sam vit_32x2 {digest_of(checkpoint)[:12]} {precision}"


def test_its_version_names_openvino_whose_embeddings_are_its_own(checkpoint) -> None:
    compiled, own = loaded(checkpoint, runtime="openvino"), loaded(checkpoint)

    assert compiled.version == f"{own.version} openvino"
    with pytest.raises(EngineError, match="embed the image again"):
        own.unpack(compiled.pack(compiled.embed(noise(HEIGHT, WIDTH))))


# Trouble


class Failing:
    def __init__(self, trouble) -> None:
        self.encode = trouble


def out_of_gpu_memory(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("trouble", [out_of_gpu_memory, lambda *_: torch.empty(2**60), lambda *_: np.empty(2**58)])
def test_too_little_memory_is_an_error_that_says_the_image_s_size(sam, trouble) -> None:
    with pytest.raises(EngineMemoryError, match="120×90"):
        Sam(Failing(trouble), sam._decoder, version="sam").embed(noise(HEIGHT, WIDTH))


def test_other_trouble_of_torch_is_an_engine_s_error(sam) -> None:
    with pytest.raises(EngineError, match="sam cannot prepare an image of 120×90: ") as caught:
        Sam(Failing(lambda *_: torch.zeros(2) + torch.zeros(3)), sam._decoder, version="sam").embed(noise(90, 120))

    assert not isinstance(caught.value, EngineMemoryError)


def test_features_that_are_not_finite_are_an_error(sam) -> None:
    broken = Failing(lambda *_: torch.full((256, 64, 64), float("nan")))

    with pytest.raises(EngineError, match="not finite"):
        Sam(broken, sam._decoder, version="sam").embed(noise(HEIGHT, WIDTH))
