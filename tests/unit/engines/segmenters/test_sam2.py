import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

torch = pytest.importorskip("torch", reason="sam2 needs torch")
transformers = pytest.importorskip("transformers", reason="sam2 needs transformers")
pytest.importorskip("torchvision", reason="transformers' own preparing of images needs torchvision")
pytest.importorskip("timm", reason="EdgeTAM needs timm")
from huggingface_hub import constants  # noqa: E402  (after the skip)
from safetensors.torch import load_file, save_file  # noqa: E402

from cleanplate.codecs.images import ImageLimits, picture_from_bytes  # noqa: E402
from cleanplate.domain.geometry import Box, Point  # noqa: E402
from cleanplate.domain.image import Size  # noqa: E402
from cleanplate.domain.prompt import Prompt  # noqa: E402
from cleanplate.engines.registry import load_segmenter  # noqa: E402
from cleanplate.engines.segmenters import sam2 as engine  # noqa: E402
from cleanplate.engines.segmenters.sam2 import Sam2, load  # noqa: E402
from cleanplate.engines.segmenters.sam2_parts.finding import find_folder  # noqa: E402
from cleanplate.engines.segmenters.sam2_parts.network import FAMILIES  # noqa: E402
from cleanplate.engines.segmenters.sam_parts.embedding import SamEmbedding, embedding_of  # noqa: E402
from cleanplate.engines.segmenters.sam_parts.promises import Drawing  # noqa: E402
from cleanplate.engines.segmenters.sam_parts.square import (  # noqa: E402
    enlarged,
    logits_in_square,
    mask_in_image,
    picture_of,
)
from cleanplate.engines.weights import Weights  # noqa: E402
from cleanplate.errors import (  # noqa: E402
    EngineError,
    EngineMemoryError,
    EngineMissingError,
    WeightsError,
)
from fakes import sam2_checkpoints as checkpoints  # noqa: E402

WIDTH, HEIGHT = 120, 90
FIRST, SECOND = Point(37.5, 41), Point(80, 61.25)
BOX = Box(12.5, 20, 95, 70)
PROMPTS = {
    "a click": Prompt((FIRST,)),
    "two clicks": Prompt((FIRST, SECOND)),
    "a negative one, too": Prompt((FIRST, SECOND._replace(positive=False))),
    "many": Prompt((FIRST, SECOND, Point(3, 80, positive=False), Point(110, 8), Point(60, 45, positive=False))),
    "a box": Prompt(box=BOX),
    "a box and clicks": Prompt((FIRST, SECOND._replace(positive=False)), BOX),
}
ODD_SIZES = [(33, 31), (1, 40), (803, 1201), (256, 256), (175, 257), (600, 3)]

IMAGE_MODELS = {
    "sam": "SamModel",
    "sam_hq": "SamHQModel",
    "sam2": "Sam2Model",
    "sam2_video": "Sam2Model",
    "edgetam": "EdgeTamModel",
    "edgetam_video": "EdgeTamModel",
    "sam3_tracker": "Sam3TrackerModel",
    "sam3_tracker_video": "Sam3TrackerModel",
    "sam3_video": "Sam3TrackerModel",
}


@pytest.fixture(scope="module", params=sorted(checkpoints.KINDS))
def folder(request, tmp_path_factory) -> Path:
    return checkpoints.hub_folder(tmp_path_factory.mktemp("hub") / request.param, request.param)


@pytest.fixture(scope="module")
def sam2(folder) -> Sam2:
    return loaded(folder)


@pytest.fixture(scope="module")
def reference(folder):
    """Transformers' own network and processor, read from the same folder by transformers itself."""
    model = getattr(transformers, IMAGE_MODELS[folder.name]).from_pretrained(folder, local_files_only=True)
    return Reference(model.eval(), checkpoints.processor_of(folder.name))


@pytest.fixture(scope="module")
def hiera_folder(tmp_path_factory) -> Path:
    return checkpoints.hub_folder(tmp_path_factory.mktemp("hub") / "sam2", "sam2")


@pytest.fixture(scope="module")
def hiera(hiera_folder) -> Sam2:
    return loaded(hiera_folder)


@pytest.fixture
def copied(hiera_folder, tmp_path) -> Path:
    """A folder of SAM 2 to damage."""
    return Path(shutil.copytree(hiera_folder, tmp_path / "copied"))


class Reference:
    """What transformers makes of an image and a prompt."""

    def __init__(self, model, processor) -> None:
        self.model = model
        self.processor = processor

    def prepared(self, image, prompt: Prompt = PROMPTS["a click"]):
        points = [[[[point.x, point.y] for point in prompt.points]]] if prompt.points else None
        labels = [[[int(point.positive) for point in prompt.points]]] if prompt.points else None
        box = [[list(prompt.box)]] if prompt.box else None
        # As a Pillow image: of arrays with a side of 1 or 3 it would have to guess which one the colours are.
        return self.processor(
            images=Image.fromarray(image),
            input_points=points,
            input_labels=labels,
            input_boxes=box,
            return_tensors="pt",
        )

    def answer(self, image, prompt: Prompt):
        """Logits at the image's size, score and small logits of the best mask."""
        inputs = self.prepared(image, prompt)
        sizes = [inputs.pop(name) for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
        unclear = len(prompt.points) == 1 and prompt.box is None and prompt.previous is None
        previous = None if prompt.previous is None else torch.from_numpy(prompt.previous)[None, None]
        with torch.inference_mode():
            answer = self.model(**inputs, input_masks=previous, multimask_output=unclear)
        best = int(answer.iou_scores[0, 0].argmax())
        large = self.processor.post_process_masks(answer.pred_masks, *sizes, binarize=False)
        small = answer.pred_masks[0, 0, best].numpy()
        return np.asarray(large[0][0, best]), float(answer.iou_scores[0, 0, best]), small

    def features(self, pixels):
        with torch.inference_mode():
            kept = self.model.get_image_embeddings(pixels)
        kept = (kept[0], kept[1][0]) if isinstance(kept, tuple) else kept
        return [kept] if isinstance(kept, torch.Tensor) else list(kept)


def loaded(path: Path, precision: str = "fp32") -> Sam2:
    return load(Weights(checkpoint=path, device="cpu", precision=precision))


def noise(height: int, width: int, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def relative_error(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


def assert_same_mask(answer, logits, small, points) -> None:
    """But where a logit is within what half precision moves it, or a click had to be drawn."""
    margin = 2e-3 * np.abs(small).max()
    np.testing.assert_allclose(answer.logits, small, atol=margin)
    clear = np.abs(logits) > margin
    for point in points:
        x, y = point.pixel(Size(logits.shape[1], logits.shape[0]))
        clear[y, x] = False
    np.testing.assert_array_equal(answer.mask[clear], logits[clear] > 0)
    assert clear.mean() > 0.9


# Parity with transformers


def test_every_kind_that_is_read_is_tested() -> None:
    assert set(checkpoints.KINDS) == set(FAMILIES) == set(IMAGE_MODELS)


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_the_network_makes_of_an_image_what_transformers_do(sam2, reference, height, width) -> None:
    pixels = reference.prepared(noise(height, width))["pixel_values"]

    features = sam2._network.encode(pixels[0])

    found = features.split([level.numel() for level in reference.features(pixels)])
    for level, expected in zip(found, reference.features(pixels), strict=True):
        assert expected.std() > 0.01
        assert relative_error(level.view_as(expected), expected) < 1e-5


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_an_image_is_prepared_as_transformers_do_within_a_step_of_its_8_bits(sam2, reference, height, width) -> None:
    image = noise(height, width)

    picture = picture_of(image, sam2._square)

    step = 1.01 / min(sam2._square.spread)
    assert float((picture - reference.prepared(image)["pixel_values"][0]).abs().max()) < step


@pytest.mark.parametrize("kind", ["sam_hq", "sam2", "sam3_tracker"])  # EdgeTAM takes minutes where bf16 is emulated
def test_in_bfloat16_nearly_so(tmp_path, kind) -> None:
    exact, rough = (loaded(checkpoints.hub_folder(tmp_path, kind), precision) for precision in ("fp32", "bf16"))
    picture = picture_of(noise(HEIGHT, WIDTH), exact._square)

    features = rough._network.encode(picture)

    assert features.dtype == torch.float32
    assert 0 < relative_error(features, exact._network.encode(picture)) < 2e-2


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_of_the_same_features_the_network_draws_what_transformers_draw(sam2, reference, prompt, refined) -> None:
    image = noise(HEIGHT, WIDTH)
    _, _, previous = reference.answer(image, PROMPTS["a click"])
    prompt = Prompt(prompt.points, prompt.box, previous if refined else None)
    inputs = reference.prepared(image, prompt)
    clear = len(prompt.points) != 1 or refined

    answer = sam2._network.decode(
        sam2._network.encode(inputs["pixel_values"][0]),
        clicks=inputs["input_points"][0, 0].float() if prompt.points else torch.zeros(0, 2),
        labels=inputs["input_labels"][0, 0] if prompt.points else torch.zeros(0, dtype=torch.int64),
        box=inputs["input_boxes"][0, 0].float().view(2, 2) if prompt.box else None,
        previous=torch.from_numpy(previous) if refined else None,
        several=not clear,
    )

    _, score, small = reference.answer(image, prompt)
    assert len(answer.scores) == len(answer.logits) == (1 if clear else 3)
    assert float(answer.scores.max()) == pytest.approx(score, abs=1e-5)
    assert relative_error(answer.logits[answer.scores.argmax()], torch.from_numpy(small)) < 1e-5


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_masks_and_scores_are_transformers_own(sam2, reference, monkeypatch, prompt) -> None:
    image = noise(HEIGHT, WIDTH)
    monkeypatch.setattr(engine, "answered", unmended)
    logits, score, small = reference.answer(image, prompt)

    answer = sam2.segment(sam2.embed(image), prompt)

    assert_same_mask(answer, logits, small, ())
    assert answer.score == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("box", [None, BOX])
def test_an_earlier_answer_is_refined_as_transformers_do_it(sam2, reference, monkeypatch, box) -> None:
    image = noise(HEIGHT, WIDTH)
    monkeypatch.setattr(engine, "answered", unmended)
    _, _, previous = reference.answer(image, PROMPTS["a click"])
    prompt = Prompt((FIRST, SECOND), box, previous)

    answer = sam2.segment(sam2.embed(image), prompt)

    logits, score, small = reference.answer(image, prompt)
    assert_same_mask(answer, logits, small, ())
    assert answer.score == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize(("height", "width"), ODD_SIZES)
def test_masks_of_images_of_any_size_are_transformers_own(sam2, reference, monkeypatch, height, width) -> None:
    image = noise(height, width)
    monkeypatch.setattr(engine, "answered", unmended)
    prompt = Prompt((Point(width * 0.4, height * 0.6), Point(width - 1, 0, positive=False)))
    logits, score, small = reference.answer(image, prompt)
    features = sam2._network.encode(reference.prepared(image)["pixel_values"][0]).numpy()

    answer = sam2.segment(embedding_of(features, Size(width, height), sam2._maker), prompt)

    assert_same_mask(answer, logits, small, ())
    assert answer.score == pytest.approx(score, abs=1e-3)


def test_a_photograph_stored_turned_is_answered_upright(sam2, reference, monkeypatch) -> None:
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(WIDTH, HEIGHT)).save(file, "JPEG", quality=95, exif=exif)
    monkeypatch.setattr(engine, "answered", unmended)

    image = picture_from_bytes(file.getvalue(), ImageLimits(max_pixels=10**6, max_bytes=10**6)).image
    answer = sam2.segment(sam2.embed(image), PROMPTS["a box"])

    turned = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    assert turned.shape == (HEIGHT, WIDTH, 3) == image.shape
    logits, _, small = reference.answer(turned, PROMPTS["a box"])
    assert_same_mask(answer, logits, small, ())


def unmended(prompt, size, draw, square):
    """What the network says, before it is mended where it breaks a promise: noise does, and trained ones seldom do."""
    drawing = draw(prompt.points, prompt.box, prompt.previous)[0]
    mask = mask_in_image(enlarged(drawing.logits, square), size, square)
    return engine.SamSegmentation(mask, drawing.score, drawing.logits, 1.0)


def test_what_the_engine_promises_changes_little_of_a_mask(sam2, monkeypatch) -> None:
    embedding = sam2.embed(noise(HEIGHT, WIDTH))
    mended = sam2.segment(embedding, PROMPTS["many"])
    monkeypatch.setattr(engine, "answered", unmended)

    assert (mended.mask != sam2.segment(embedding, PROMPTS["many"]).mask).mean() < 0.02


# Promises, where an image fills the square


@pytest.mark.parametrize(("height", "width"), [*ODD_SIZES, (90, 120), (2000, 1300)])
def test_the_cells_of_a_pixel_decide_about_it(hiera, height, width) -> None:
    random = np.random.default_rng(height)
    size, square = Size(width, height), hiera._square
    for _ in range(20):
        x, y = int(random.integers(width)), int(random.integers(height))
        logits = np.full((64, 64), -4, dtype=np.float32)
        rows = square.cells(y, length=height, drawn=64)
        columns = square.cells(x, length=width, drawn=64)

        logits[rows, columns] = 4

        assert mask_in_image(logits, size, square)[y, x]
        assert (rows.stop - rows.start) * (columns.stop - columns.start) <= 4


@pytest.mark.parametrize(("height", "width"), [*ODD_SIZES, (1500, 2111)])
def test_a_mask_is_what_bringing_all_logits_to_the_images_size_gives(hiera, height, width) -> None:
    logits = np.random.default_rng(height).normal(-1, 1, (64, 64)).astype(np.float32)

    mask = mask_in_image(logits, Size(width, height), hiera._square)

    full = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None], (height, width), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    clear = np.abs(full) > 1e-4
    np.testing.assert_array_equal(mask[clear], full[clear] > 0)


def test_a_sketch_of_the_whole_image_fills_the_square(hiera) -> None:
    sketch = np.full((90, 30), -6, dtype=np.float32)
    sketch[:45] = 6

    drawn = logits_in_square(sketch, Size(30, 90), hiera._square)

    np.testing.assert_array_equal(drawn > 0, np.arange(64)[:, None].repeat(64, axis=1) < 32)


def test_a_click_that_the_network_contradicts_is_drawn_small_and_kept(hiera, monkeypatch) -> None:
    embedding = hiera.embed(noise(HEIGHT, WIDTH))
    monkeypatch.setattr(hiera, "_drawings", lambda *_: [Drawing(np.full((64, 64), -5, dtype=np.float32), 0.9)])

    answer = hiera.segment(embedding, Prompt((Point(50, 40),)))

    assert answer.mask[40, 50]
    assert answer.mask.sum() < 30
    assert hiera.segment(embedding, Prompt(previous=answer.logits)).mask[40, 50]


def test_an_empty_answer_to_a_box_is_the_box(hiera, monkeypatch) -> None:
    embedding = hiera.embed(noise(HEIGHT, WIDTH))
    monkeypatch.setattr(hiera, "_drawings", lambda *_: [Drawing(np.full((64, 64), -5, dtype=np.float32), 0.9)])

    answer = hiera.segment(embedding, Prompt(box=Box(30, 20, 90, 60)))

    assert answer.score == 0
    assert answer.mask[20:60, 30:90].all()
    assert answer.mask.sum() < 1.3 * 60 * 40


def test_the_stability_is_that_of_the_logits(hiera) -> None:
    answer = hiera.segment(hiera.embed(noise(HEIGHT, WIDTH)), PROMPTS["a box"])

    assert answer.stability == pytest.approx((answer.logits > 1).sum() / (answer.logits > -1).sum())


def test_eight_threads_never_get_another_images_mask(sam2) -> None:
    embeddings = [sam2.embed(noise(70 + 3 * number, 100, seed=number)) for number in range(4)]
    questions = [(embedding, prompt) for embedding in embeddings for prompt in PROMPTS.values()]
    expected = [sam2.segment(*question).logits for question in questions]
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(questions)), 3))

    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda number: sam2.embed(noise(70 + 3 * number, 100, seed=number)), range(4)))
        answers = list(pool.map(lambda number: sam2.segment(*questions[number]).logits, order))

    assert len({logits.tobytes() for logits in expected}) == len(questions)
    for number, logits in zip(order, answers, strict=True):
        np.testing.assert_array_equal(logits, expected[number])
    for image, embedding in zip(images, embeddings, strict=True):
        np.testing.assert_array_equal(image.features, embedding.features)


# Packed embeddings


def test_a_packed_embedding_comes_back_and_answers_alike(sam2) -> None:
    embedding = sam2.embed(noise(HEIGHT, WIDTH))

    again = sam2.unpack(sam2.pack(embedding))

    assert len(sam2.pack(embedding)) < embedding.size_bytes + 200
    assert embedding.size_bytes == 2 * sam2._network.length
    assert again.size == Size(WIDTH, HEIGHT)
    np.testing.assert_array_equal(again.features, embedding.features)
    np.testing.assert_array_equal(
        sam2.segment(again, PROMPTS["a box"]).logits, sam2.segment(embedding, PROMPTS["a box"]).logits
    )
    with pytest.raises(ValueError, match="read-only"):
        again.features[0] = 0


@pytest.mark.parametrize("damage", [lambda _: b"", lambda content: content[:-1], lambda content: content[:-1] + b"?"])
def test_damaged_bytes_are_an_error(hiera, damage) -> None:
    with pytest.raises(EngineError):
        hiera.unpack(damage(hiera.pack(hiera.embed(noise(HEIGHT, WIDTH)))))


def test_an_embedding_of_other_weights_is_refused(hiera, hiera_folder) -> None:
    embedding, other = hiera.embed(noise(HEIGHT, WIDTH)), loaded(hiera_folder, "bf16")

    assert isinstance(embedding, SamEmbedding)
    with pytest.raises(EngineError, match="embed the image again"):
        other.segment(embedding, PROMPTS["a click"])
    with pytest.raises(EngineError, match="embed the image again"):
        other.unpack(hiera.pack(embedding))


def test_sam_2_keeps_8_mib_of_an_image_and_sam_3_keeps_10() -> None:
    kept = {}
    for name in ("Sam2", "Sam3Tracker"):
        with torch.device("meta"), torch.inference_mode():
            config = getattr(transformers, f"{name}Config")()
            model = getattr(transformers, f"{name}Model")(config).eval()
            side_px = config.prompt_encoder_config.image_size
            levels = model.get_image_embeddings(torch.empty(1, 3, side_px, side_px))
        kept[name] = 2 * sum(level.numel() for level in levels) / 2**20

    assert kept == {"Sam2": 8.0, "Sam3Tracker": 10.125}


# Folders


def edited(folder: Path, **changes) -> Path:
    """With other things in config.json."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def with_tensors(folder: Path, **tensors) -> Path:
    named = load_file(folder / "model.safetensors") | {name.replace("__", "."): t for name, t in tensors.items()}
    save_file({n: t for n, t in named.items() if t is not None}, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"mask_decoder__iou_token__weight": None}, r"mask_decoder\.iou_token\.weight is missing"),
        (
            {"mask_decoder__iou_token__weight": torch.zeros(1, 9)},
            r"iou_token\.weight has the shape \(1, 9\) where \(1, 32\)",
        ),
        ({"mask_decoder__odd_token__weight": torch.zeros(1, 9)}, r"odd_token\.weight is no part of Sam2Model"),
        (
            {"mask_decoder__iou_token__weight": torch.full((1, 32), float("nan"))},
            r"iou_token\.weight holds .* not finite",
        ),
    ],
)
def test_weights_that_are_not_the_networks_are_an_error_that_says_why(copied, tensors, message) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        loaded(with_tensors(copied, **tensors))

    assert str(copied) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "type 'bert'; read are edgetam, edgetam_video, sam, sam2,"),
        ({"model_type": None}, "type None; read are"),
        ({"model_type": ["sam2"]}, "read are"),
        ({"model_type": "sam_hq"}, "type 'sam2_vision_model' is no part of SamHQModel"),
        ({"vision_config": None}, "says nothing of vision_config"),
        ({"prompt_encoder_config": {"image_size": [256, 128]}}, "256×128 pixels, which is no square"),
        ({"prompt_encoder_config": {"hidden_size": 33}}, r"the shape \(32,\) where \(33,\) is needed"),
        ({"vision_config": {"model_type": "resnet"}}, "type 'resnet' is no part of Sam2Model"),
        (
            {"vision_config": {"backbone_config": {"model_type": "timm_wrapper"}}},
            "'timm_wrapper' is no part of Sam2Model",
        ),
        (
            {"vision_config": {"backbone_config": "somebody/some-model"}},
            "'somebody/some-model' is no part of Sam2Model",
        ),
        ({"vision_config": {"fpn_hidden_size": "many"}}, "cannot be read"),
        ({"vision_config": {"model_type": ["sam2_vision_model"]}}, "is no part of Sam2Model"),
        ({"vision_config": {"backbone_config": ["sam2_hiera_det_model"]}}, "is no part of Sam2Model"),
    ],
)
def test_a_folder_of_something_else_is_an_error_that_says_what_is_read(copied, changes, message) -> None:
    with pytest.raises(WeightsError, match=message):
        loaded(edited(copied, **changes))


def test_a_network_larger_than_its_file_takes_no_memory(copied) -> None:
    config = json.loads((copied / "config.json").read_text())["mask_decoder_config"]

    with pytest.raises((WeightsError, EngineMemoryError)):
        loaded(edited(copied, mask_decoder_config=config | {"mlp_dim": 10**12}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "is no JSON"),
        ("config.json", b"[" * 100_000, "is no JSON"),
        ("config.json", b"[]", "is no JSON object"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer to the file"),
        ("model.safetensors", b"", "neither safetensors nor|model.safetensors"),
        ("processor_config.json", b'{"image_processor": {"image_mean": [1, 2]}}', "three colours"),
    ],
)
def test_damaged_files_are_an_error_that_names_them(copied, name, content, message) -> None:
    (copied / name).write_bytes(content)

    with pytest.raises(WeightsError, match=message) as caught:
        loaded(copied)

    assert str(copied) in str(caught.value)


def test_a_truncated_file_is_an_error(copied) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        loaded(copied)


def test_pickles_are_refused_with_the_reason(copied) -> None:
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")

    with pytest.raises(WeightsError, match=r"pickle only \(pytorch_model\.bin\), which can run"):
        loaded(copied)


def test_a_folder_without_weights_or_config_is_refused(copied) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        loaded(copied)

    (copied / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        loaded(copied)


def test_the_authors_own_file_is_refused_with_the_reason(tmp_path) -> None:
    (tmp_path / "sam2.1_hiera_tiny.pt").touch()

    with pytest.raises(WeightsError, match=r"is a file, and sam2 reads a folder"):
        loaded(tmp_path / "sam2.1_hiera_tiny.pt")


def test_weights_in_several_files_are_the_same(hiera, tmp_path) -> None:
    folder = checkpoints.hub_folder(tmp_path / "sharded", "sam2", max_shard_size="150KB")
    image = noise(HEIGHT, WIDTH)

    assert len(list(folder.glob("model-*.safetensors"))) > 2
    np.testing.assert_array_equal(loaded(folder).embed(image).features, hiera.embed(image).features)


@pytest.mark.parametrize("name", ["../model.safetensors", "model.bin", "absent.safetensors"])
def test_an_index_that_names_anything_but_its_own_files_is_refused(copied, name) -> None:
    (copied / "model.safetensors").rename(copied.parent / "model.safetensors")
    (copied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"tensor": name}}))

    with pytest.raises(WeightsError, match="no safetensors file of the folder"):
        loaded(copied)


def test_code_beside_the_weights_never_runs(copied, hiera) -> None:
    (copied / "modeling_evil.py").write_text(f"open({str(copied / 'ran')!r}, 'w')\nclass Evil: pass\n")
    names = {"AutoConfig": "modeling_evil.Evil", "AutoModel": "modeling_evil.Evil"}
    image = noise(HEIGHT, WIDTH)

    sam2 = loaded(edited(copied, auto_map=names, _attn_implementation="somebody/kernels"))

    assert not (copied / "ran").exists()
    np.testing.assert_array_equal(sam2.embed(image).features, hiera.embed(image).features)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "hf-hub:somebody/model"}, "looks with a RepViT of timm, not with 'hf-hub:somebody/model'"),
        ({"architecture": "local-dir:/somewhere"}, "looks with a RepViT"),
        ({"architecture": "resnet50"}, "looks with a RepViT"),
        ({"architecture": None}, "looks with a RepViT"),
        ({"model_args": {"checkpoint_path": "/somewhere/pickle.pth"}}, "features_only, in_chans, out_indices are read"),
        ({"model_args": None}, "features_only, in_chans, out_indices are read"),
    ],
)
def test_edgetam_looks_with_its_own_network_alone(tmp_path, changes, message) -> None:
    folder = checkpoints.hub_folder(tmp_path, "edgetam")
    vision = json.loads((folder / "config.json").read_text())["vision_config"]
    vision["backbone_config"] |= changes

    with pytest.raises(WeightsError, match=message):
        loaded(edited(folder, vision_config=vision))


def test_without_timm_the_error_says_what_edgetam_needs(tmp_path, monkeypatch) -> None:
    folder = checkpoints.hub_folder(tmp_path, "edgetam")
    monkeypatch.setattr("cleanplate.engines.segmenters.sam2_parts.network.find_spec", lambda _: None)

    with pytest.raises(EngineMissingError, match=r"pip install 'cleanplate\[edgetam\]'"):
        loaded(folder)


def test_how_an_image_is_prepared_is_the_folders_to_say(copied, hiera) -> None:
    (copied / "processor_config.json").write_text(
        json.dumps({"image_processor": {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}})
    )
    image = noise(HEIGHT, WIDTH)

    picture = picture_of(image, loaded(copied)._square)

    assert 0 <= picture.min() < 0.02
    assert 0.98 < picture.max() <= 1
    assert picture_of(image, hiera._square).min() < -2


def test_its_version_tells_kinds_weights_preparing_and_precision_apart(copied, hiera, hiera_folder) -> None:
    assert hiera.version.startswith("sam2 sam2 ")
    assert hiera.version.endswith(" fp32")
    assert loaded(hiera_folder).version == hiera.version == loaded(copied).version
    (copied / "processor_config.json").unlink()
    versions = {hiera.version, loaded(hiera_folder, "bf16").version, loaded(copied).version}
    with_tensors(copied, mask_decoder__iou_token__weight=torch.zeros(1, 32))
    assert len(versions | {loaded(copied).version}) == 4


# Where folders are found; nothing is fetched


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No way out, and an empty cache of the hub's programs."""

    def refuse(*_, **__):
        raise AssertionError("it went out to the network")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


def cached(cache: Path, repository: str, folder: Path) -> None:
    """As `hf download` puts it there."""
    place = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / "abc123")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc123")


def test_a_repository_is_found_in_the_folder_of_weights_and_then_in_the_cache(
    offline, tmp_path, hiera_folder, hiera
) -> None:
    named = Weights(Path("facebook/sam2.1-hiera-small"), tmp_path, device="cpu", precision="fp32")
    with pytest.raises(EngineMissingError, match=r"facebook/sam2\.1-hiera-small is not on this machine.*`hf download"):
        load(named)

    cached(offline, "facebook/sam2.1-hiera-small", hiera_folder)
    assert load(named).version == hiera.version

    (tmp_path / "facebook--sam2.1-hiera-small").mkdir()
    with pytest.raises(WeightsError, match=r"facebook--sam2\.1-hiera-small holds no config\.json"):
        load(named)


@pytest.mark.usefixtures("offline")
def test_on_a_processor_the_quickest_weights_are_found_first_and_on_a_gpu_the_best(tmp_path) -> None:
    for name in ("tiny", "large"):
        (tmp_path / f"facebook--sam2.1-hiera-{name}").mkdir()

    assert find_folder(Weights(folder=tmp_path), best_first=False).name == "facebook--sam2.1-hiera-tiny"
    assert find_folder(Weights(folder=tmp_path), best_first=True).name == "facebook--sam2.1-hiera-large"


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("checkpoint", [None, "/nowhere/at/all", "owner/no-such-name", "a b/!"])
def test_without_weights_the_error_says_how_to_get_them(tmp_path, checkpoint) -> None:
    weights = Weights(checkpoint and Path(checkpoint), tmp_path, device="cpu")

    with pytest.raises(
        EngineMissingError, match=r"hf download facebook/sam2\.1-hiera-tiny .*CLEANPLATE_SAM2_CHECKPOINT"
    ):
        load_segmenter("sam2", weights)


@pytest.mark.usefixtures("offline")
def test_loading_asks_nobody(hiera_folder) -> None:
    assert loaded(hiera_folder).version


# Trouble


class Failing:
    def __init__(self, trouble) -> None:
        self.encode = trouble


def out_of_gpu_memory(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("trouble", [out_of_gpu_memory, lambda *_: torch.empty(2**60), lambda *_: np.empty(2**58)])
def test_too_little_memory_is_an_error_that_says_the_images_size(hiera, trouble) -> None:
    with pytest.raises(EngineMemoryError, match="sam2 has no room to prepare an image of 120×90"):
        Sam2(Failing(trouble), hiera._square, version="sam2").embed(noise(HEIGHT, WIDTH))


def test_features_that_are_not_finite_are_an_error(hiera) -> None:
    broken = Failing(lambda *_: torch.full((9,), float("nan")))

    with pytest.raises(EngineError, match="not finite"):
        Sam2(broken, hiera._square, version="sam2").embed(noise(HEIGHT, WIDTH))
