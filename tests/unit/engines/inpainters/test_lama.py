from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="lama needs torch")

from cleanplate.domain.geometry import Box  # noqa: E402  (after the skip)
from cleanplate.engines import devices  # noqa: E402
from cleanplate.engines.devices import DTYPES, precision_of  # noqa: E402
from cleanplate.engines.inpainters import lama  # noqa: E402
from cleanplate.engines.inpainters.lama import LamaInpainter, friendly_side, load  # noqa: E402
from cleanplate.engines.inpainters.lama_parts import network as parts  # noqa: E402
from cleanplate.engines.inpainters.lama_parts.layout import Layout, generator_of  # noqa: E402
from cleanplate.engines.registry import load_inpainter  # noqa: E402
from cleanplate.engines.weights import Weights, digest_of, tensors_in  # noqa: E402
from cleanplate.errors import (  # noqa: E402
    EngineError,
    EngineMemoryError,
    EngineMissingError,
    SizeMismatchError,
    WeightsError,
)
from fakes import lama_checkpoints as checkpoints  # noqa: E402

HEIGHT, WIDTH = 41, 67


@pytest.fixture(scope="module")
def generator():
    return checkpoints.seeded_generator(width=8, blocks=3)


@pytest.fixture(scope="module")
def checkpoint(generator, tmp_path_factory) -> Path:
    return checkpoints.state_dict(tmp_path_factory.mktemp("lama") / "big-lama.pt", generator)


@pytest.fixture(scope="module")
def full_generator():
    return checkpoints.seeded_generator()


@pytest.fixture(scope="module")
def full_checkpoint(full_generator, tmp_path_factory) -> Path:
    return checkpoints.torchscript(tmp_path_factory.mktemp("lama") / "big-lama.pt", full_generator)


@pytest.fixture(scope="module")
def inpainter(checkpoint) -> LamaInpainter:
    return load(Weights(checkpoint=checkpoint, device="cpu", precision="fp32"))


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[12:25, 20:44] = True
    return mask


def network(path: Path, precision: str = "fp32"):
    return load(Weights(checkpoint=path, device="cpu", precision=precision))._network


def masked(height: int, width: int, seed: int = 0):
    """(1, 4, H, W), as the generator is given it: noise, dark under the mask, and the mask."""
    noise = torch.rand(1, 4, height, width, generator=torch.Generator().manual_seed(seed))
    noise[:, 3] = 0
    noise[:, 3, height // 4 : height // 2, width // 3 : width // 2 + 1] = 1
    noise[:, :3] *= 1 - noise[:, 3:]
    return noise


def painted_by(generator, picture):
    with torch.inference_mode():
        return generator(picture)


def relative_error(found, expected) -> float:
    return float((found - expected).norm() / expected.norm())


def whole(picture) -> Box:
    return Box(0, 0, picture.shape[3], picture.shape[2])


# The network's arithmetic


@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (16, 136), (40, 24), (72, 120), (88, 56), (104, 104), (128, 256), (152, 184)]
)
def test_paints_what_the_reference_generator_paints(generator, checkpoint, height, width) -> None:
    picture = masked(height, width)

    painted = network(checkpoint).paint(picture, whole(picture))

    assert painted.std() > 0.1
    assert relative_error(painted, painted_by(generator, picture)) < 1e-5


@pytest.mark.parametrize(("height", "width"), [(40, 24), (128, 96)])
def test_in_bfloat16_it_paints_nearly_that(generator, checkpoint, height, width) -> None:
    picture = masked(height, width)

    painted = network(checkpoint, "bf16").paint(picture, whole(picture))

    assert painted.dtype == torch.float32
    assert relative_error(painted, painted_by(generator, picture)) < 2e-2


@pytest.mark.parametrize(("width", "blocks"), [(8, 1), (16, 2), (12, 5)])
def test_generators_of_other_sizes_are_told_by_their_shapes(tmp_path, width, blocks) -> None:
    generator = checkpoints.seeded_generator(width=width, blocks=blocks, seed=width)
    picture = masked(48, 40)

    painted = network(checkpoints.state_dict(tmp_path / "other.pt", generator)).paint(picture, whole(picture))

    assert relative_error(painted, painted_by(generator, picture)) < 1e-5


@pytest.mark.parametrize(
    "part", [Box(30, 20, 60, 50), Box(0, 0, 1, 1), Box(95, 127, 96, 128), Box(2, 61, 96, 66), Box(5, 0, 11, 128)]
)
def test_a_part_is_painted_as_it_is_in_the_whole(checkpoint, part) -> None:
    picture = masked(128, 96)
    painter = network(checkpoint)

    painted = painter.paint(picture, part)

    rows, columns = slice(int(part.top), int(part.bottom)), slice(int(part.left), int(part.right))
    torch.testing.assert_close(painted, painter.paint(picture, whole(picture))[:, :, rows, columns], rtol=0, atol=1e-6)


@pytest.mark.parametrize("values", [1, 200, 10**6])
def test_it_makes_no_difference_how_much_is_transformed_at_once(checkpoint, monkeypatch, values) -> None:
    picture = masked(104, 88)
    expected = network(checkpoint).paint(picture, whole(picture))
    monkeypatch.setattr(parts, "_TRANSFORMED_VALUES", values)

    painted = network(checkpoint).paint(picture, whole(picture))

    assert relative_error(painted, expected) < 1e-5


@pytest.mark.parametrize("rows", [1, 5, 10**6])
def test_it_makes_no_difference_in_what_bands_the_picture_is_halved(checkpoint, monkeypatch, rows) -> None:
    picture = masked(104, 88)
    expected = network(checkpoint).paint(picture, whole(picture))
    monkeypatch.setattr(parts, "_BAND_ROWS", rows)

    painted = network(checkpoint).paint(picture, whole(picture))

    assert relative_error(painted, expected) < 1e-5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_was_painted_before_leaves_no_trace(checkpoint, precision) -> None:
    picture, other = masked(72, 48), masked(72, 48, seed=1)
    painter = network(checkpoint, precision)
    expected = painter.paint(picture, whole(picture))
    painter.paint(other, whole(other))

    torch.testing.assert_close(painter.paint(picture, whole(picture)), expected, rtol=0, atol=0)


# The published checkpoint


def test_big_lama_s_tensors_have_their_published_names_and_shapes() -> None:
    # From the authors' configs/training/big-lama.yaml (ngf 64, n_blocks 18, ratio_gin and ratio_gout 0.75 in the blocks
    # and 0 before them, no local Fourier units) and saicinpainting/training/modules/ffc.py, github.com/advimman/lama.
    norms = {"1.bn_l": 64, "2.bn_l": 128, "3.bn_l": 256, "4.bn_l": 128, "4.bn_g": 384, "25": 256, "28": 128, "31": 64}
    expected = {
        "1.ffc.convl2l.weight": (64, 4, 7, 7),
        "2.ffc.convl2l.weight": (128, 64, 3, 3),
        "3.ffc.convl2l.weight": (256, 128, 3, 3),
        "4.ffc.convl2l.weight": (128, 256, 3, 3),
        "4.ffc.convl2g.weight": (384, 256, 3, 3),
        "24.weight": (512, 256, 3, 3),
        "24.bias": (256,),
        "27.weight": (256, 128, 3, 3),
        "27.bias": (128,),
        "30.weight": (128, 64, 3, 3),
        "30.bias": (64,),
        "34.weight": (3, 64, 7, 7),
        "34.bias": (3,),
    }
    for place in (f"{block}.conv{number}" for block in range(5, 23) for number in (1, 2)):
        expected |= {
            f"{place}.ffc.convl2l.weight": (128, 128, 3, 3),
            f"{place}.ffc.convl2g.weight": (384, 128, 3, 3),
            f"{place}.ffc.convg2l.weight": (128, 384, 3, 3),
            f"{place}.ffc.convg2g.conv1.0.weight": (192, 384, 1, 1),
            f"{place}.ffc.convg2g.fu.conv_layer.weight": (384, 384, 1, 1),
            f"{place}.ffc.convg2g.conv2.weight": (384, 192, 1, 1),
        }
        norms |= {f"{place}.bn_l": 128, f"{place}.bn_g": 384}
        norms |= {f"{place}.ffc.convg2g.conv1.1": 192, f"{place}.ffc.convg2g.fu.bn": 384}
    for place, channels in norms.items():
        expected |= {f"{place}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}

    assert Layout(width=64, blocks=18, local=128).shapes() == expected
    # The file that is given away has 989 tensors: each batch norm also counts its batches.
    assert len(expected) + len(norms) == 989


def test_big_lama_itself_is_recognised_and_painted_like_the_reference(full_generator, full_checkpoint) -> None:
    picture = masked(48, 64)

    with tensors_in(full_checkpoint) as tensors:
        layout, own = generator_of(tensors)

    assert "model.generator.model.1.ffc.convl2l.weight" in tensors
    assert layout == Layout(width=64, blocks=18, local=128)
    assert {name: own[name].shape for name in layout.shapes()} == layout.shapes()
    painted = network(full_checkpoint).paint(picture, whole(picture))
    assert relative_error(painted, painted_by(full_generator, picture)) < 1e-5


def test_spandrel_paints_the_same_with_the_same_tensors(full_generator, full_checkpoint) -> None:
    spandrel = pytest.importorskip("spandrel", reason="an oracle: pip install spandrel")
    theirs = spandrel.ModelLoader().load_from_state_dict(
        {f"generator.{name}": tensor for name, tensor in full_generator.state_dict().items()}
    )
    picture = masked(48, 64)

    painted = network(full_checkpoint).paint(picture, whole(picture))
    with torch.inference_mode():
        expected = theirs.model.eval().model(picture[:, :3], picture[:, 3:])

    assert relative_error(painted, expected) < 1e-5


# The file formats


@pytest.mark.parametrize(
    "write",
    [
        lambda folder, generator: checkpoints.torchscript(folder / "big-lama.pt", generator),
        lambda folder, generator: checkpoints.original_folder(folder / "big-lama", generator),
        lambda folder, generator: checkpoints.original_folder(folder / "lama", generator) / "models" / "best.ckpt",
        lambda folder, generator: checkpoints.state_dict(folder / "a.pth", generator, "model.model."),
        lambda folder, generator: checkpoints.state_dict(folder / "a.pt", generator, "generator."),
    ],
    ids=["TorchScript", "the authors' folder", "the authors' checkpoint", "spandrel's names", "the generator's names"],
)
def test_every_published_format_gives_the_same_network(tmp_path, generator, checkpoint, write) -> None:
    picture = masked(24, 32)

    painted = network(write(tmp_path, generator)).paint(picture, whole(picture))

    torch.testing.assert_close(painted, network(checkpoint).paint(picture, whole(picture)), rtol=0, atol=0)


def test_safetensors_give_the_same_network(tmp_path, generator, checkpoint) -> None:
    pytest.importorskip("safetensors")
    path = checkpoints.safetensors(tmp_path / "big-lama.safetensors", generator, "model.")
    picture = masked(24, 32)

    painted = network(path).paint(picture, whole(picture))

    torch.testing.assert_close(painted, network(checkpoint).paint(picture, whole(picture)), rtol=0, atol=0)


def changed(generator, **tensors) -> dict:
    """The generator's tensors, some of them replaced and those that are None left out."""
    named = generator.state_dict() | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"model__5__conv1__ffc__convg2g__fu__bn__bias": None}, r"fu\.bn\.bias is missing"),
        ({"model__7__conv2__bn_g__weight": None}, r"7\.conv2\.bn_g\.weight is missing"),
        ({"model__1__ffc__convl2l__weight": None}, "no LaMa"),
        ({"model__1__ffc__convl2l__weight": torch.zeros(8, 5, 7, 7)}, r"has the shape \(8, 5, 7, 7\) where LaMa has"),
        ({"model__1__ffc__convl2l__weight": torch.tensor(1.0)}, "no LaMa with Fourier"),
        ({"model__4__ffc__convl2l__weight": torch.zeros(64, 32, 3, 3)}, "64 of 64 channels"),
        ({"model__19__bias": torch.zeros(4)}, r"19\.bias has the shape"),
        ({"model__5__conv1__ffc__convg2g__lfu__conv_layer__weight": torch.zeros(1)}, r"lfu.*no part of LaMa"),
        ({"other__1__ffc__convl2l__weight": torch.zeros(8, 4, 7, 7)}, "2 generators"),
        ({"model__6__bn_l__weight": torch.zeros(2)}, r"6\.bn_l\.weight is no part"),
        ({"model__19__weight": torch.full((3, 8, 7, 7), float("nan"))}, r"19\.weight has numbers that are not finite"),
        ({"model__1__bn_l__running_mean": torch.full((8,), float("inf"))}, "not finite"),
        ({"model__1__bn_l__running_var": torch.full((8,), -1.0)}, "negative"),
        ({"model__19__weight": torch.zeros(3, 8, 7, 7, dtype=torch.int64)}, "LongStorage"),
    ],
)
def test_weights_that_are_not_lama_s_are_an_error_that_says_why(tmp_path, generator, tensors, message) -> None:
    path = tmp_path / "big-lama.pt"
    torch.save(changed(generator, **tensors), path)

    with pytest.raises(WeightsError, match=message) as caught:
        load(Weights(checkpoint=path, device="cpu", precision="fp32"))

    assert str(path) in str(caught.value)


def test_without_weights_the_error_says_what_to_fetch_and_where_to_put_it(tmp_path) -> None:
    with pytest.raises(EngineMissingError, match=r"big-lama\.pt.*Apache-2\.0.*https://.*CLEANPLATE_LAMA_CHECKPOINT"):
        load_inpainter("lama")
    with pytest.raises(EngineMissingError, match=r"big-lama\.safetensors"):
        load_inpainter("lama", Weights(folder=tmp_path))


# The engine


def test_paints_the_hole_and_what_is_beside_it_and_nothing_else(inpainter, image, mask, monkeypatch) -> None:
    monkeypatch.setattr(lama, "_BESIDE_PX", 5)
    painted = np.zeros_like(mask)
    painted[12 - 5 : 25 + 5, 20 - 5 : 44 + 5] = True

    filled = inpainter.inpaint(image, mask).image

    np.testing.assert_array_equal(filled[~painted], image[~painted])
    assert (filled[painted] != image[painted]).any(axis=1).mean() > 0.9


def test_fills_what_the_reference_paints(generator, inpainter, image, mask) -> None:
    # 41 is padded to 48 and 67 to 72, by reflection at the right and below.
    beyond = (0, 7), (0, 5)
    holes = np.pad(mask, beyond, mode="symmetric")
    seen = np.where(holes[..., np.newaxis], 0, np.pad(image, (*beyond, (0, 0)), mode="symmetric"))
    picture = torch.from_numpy(np.dstack([seen / np.float32(255), holes]).astype(np.float32)).permute(2, 0, 1)[None]

    filled = inpainter.inpaint(image, mask).image

    expected = painted_by(generator, picture)[0].permute(1, 2, 0).numpy()[:HEIGHT, :WIDTH] * 255
    np.testing.assert_allclose(filled[mask].astype(np.float32), expected[mask], atol=0.51)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (3, 8), (17, 9), (113, 1)])
def test_fills_images_of_any_size(inpainter, height, width) -> None:
    image = np.full((height, width, 3), 90, dtype=np.uint8)

    assert inpainter.inpaint(image, np.ones((height, width), dtype=np.bool_)).image.shape == image.shape


def test_a_mask_without_a_pixel_changes_nothing(inpainter, image, mask) -> None:
    np.testing.assert_array_equal(inpainter.inpaint(image, np.zeros_like(mask)).image, image)


def test_what_is_to_be_avoided_must_fit_and_changes_nothing(inpainter, image, mask) -> None:
    expected = inpainter.inpaint(image, mask)

    np.testing.assert_array_equal(inpainter.inpaint(image, mask, avoid=~mask).image, expected.image)
    assert expected.confidence is None
    with pytest.raises(SizeMismatchError):
        inpainter.inpaint(image, mask, avoid=mask[1:])


def test_several_threads_get_what_one_gets(inpainter, image, mask) -> None:
    images = [np.roll(image, shift, axis=1) for shift in range(6)]
    expected = [inpainter.inpaint(each, mask).image for each in images]

    with ThreadPoolExecutor(6) as pool:
        filled = list(pool.map(lambda each: inpainter.inpaint(each, mask).image, images))

    np.testing.assert_array_equal(filled, expected)


@pytest.mark.parametrize(
    ("length", "side"),
    [(1, 16), (16, 16), (17, 24), (49, 64), (512, 512), (513, 576), (1000, 1000), (1121, 1152), (1128, 1152)],
)
def test_sides_are_padded_to_lengths_whose_transform_is_fast(length, side) -> None:
    assert friendly_side(length) == side


def test_its_version_names_the_weights_and_the_precision(checkpoint) -> None:
    digest = digest_of(checkpoint)

    for precision in ("fp32", "bf16"):
        made = load(Weights(checkpoint=checkpoint, device="cpu", precision=precision))
        assert made.version == f"lama {digest[:12]} {precision}"


@pytest.mark.parametrize(("bf16_s", "chosen"), [(1.0, "bf16"), (1.9, "fp32"), (30.0, "fp32")])
def test_of_its_own_accord_it_takes_the_clearly_faster_precision(monkeypatch, bf16_s, chosen) -> None:
    times_s = {torch.float32: 2.0, torch.bfloat16: bf16_s}
    monkeypatch.setattr(devices, "_convolution_s", lambda _device, dtype: times_s[dtype])
    monkeypatch.setattr(devices, "_faster", devices._faster.__wrapped__)

    assert precision_of("auto", torch.device("cpu")) == chosen


def test_the_precision_that_is_asked_for_is_not_timed(monkeypatch) -> None:
    monkeypatch.delattr(devices, "_convolution_s")

    assert [precision_of(wish, torch.device("cpu")) for wish in DTYPES] == ["fp32", "bf16"]


def test_a_gpu_that_is_asked_for_and_missing_is_an_error(monkeypatch, checkpoint) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    with pytest.raises(EngineError, match="CLEANPLATE_DEVICE"):
        load(Weights(checkpoint=checkpoint, device="cuda"))
    assert load(Weights(checkpoint=checkpoint))._network.last.weight.device.type == "cpu"


class Failing:
    """A network that runs into trouble."""

    def __init__(self, trouble) -> None:
        self.paint = trouble


def out_of_gpu_memory(*_):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("trouble", [out_of_gpu_memory, lambda *_: torch.empty(2**60), lambda *_: np.empty(2**58)])
def test_a_crop_too_large_for_the_memory_is_an_error_that_says_its_size(image, mask, trouble) -> None:
    with pytest.raises(EngineMemoryError, match="67×41"):
        LamaInpainter(Failing(trouble), version="lama").inpaint(image, mask)


def test_other_trouble_of_torch_is_an_engine_s_error(image, mask) -> None:
    with pytest.raises(EngineError, match=r"67×41: .*size") as caught:
        LamaInpainter(Failing(lambda *_: torch.zeros(2) + torch.zeros(3)), version="lama").inpaint(image, mask)

    assert not isinstance(caught.value, EngineMemoryError)


def test_crops_of_its_comfort_need_no_padding() -> None:
    comfort = LamaInpainter.comfort

    assert friendly_side(comfort.min_side_px) == comfort.min_side_px
    assert friendly_side(comfort.max_side_px) == comfort.max_side_px
    assert comfort.multiple == lama.STEP
