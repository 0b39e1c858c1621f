"""Checkpoints of LaMa in each of the formats it is published in, with seeded weights that have learnt nothing.

The generator is written from the papers' equations: R. Suvorov et al., "Resolution-robust Large Mask Inpainting with
Fourier Convolutions", WACV 2022; L. Chi, B. Jiang, Y. Mu, "Fast Fourier Convolution", NeurIPS 2020. Its modules are
named so that its state dict has the published names. It is what the engine's own network is measured by.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

HALVINGS = 3
GLOBAL_SHARE = 0.75


class FourierUnit(nn.Module):
    """To the spectrum, a convolution of its real and imaginary parts, and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, signal: Tensor) -> Tensor:
        batch, channels, height, width = signal.shape
        spectrum = torch.fft.rfft2(signal, norm="ortho")
        parts = torch.stack((spectrum.real, spectrum.imag), dim=2).reshape(batch, 2 * channels, height, -1)
        parts = torch.relu(self.bn(self.conv_layer(parts))).reshape(batch, channels, 2, height, -1)
        return torch.fft.irfft2(torch.complex(parts[:, :, 0], parts[:, :, 1]), s=(height, width), norm="ortho")


class SpectralTransform(nn.Module):
    """Half the channels, their Fourier unit added to themselves, and all channels again."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Sequential(nn.Conv2d(channels, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.fu = FourierUnit(half)
        self.conv2 = nn.Conv2d(half, channels, 1, bias=False)

    def forward(self, signal: Tensor) -> Tensor:
        narrow = self.conv1(signal)
        return self.conv2(narrow + self.fu(narrow))


def convolution(inputs: int, outputs: int, side: int, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, stride, padding, bias=False, padding_mode="reflect")


class LocalPaths(nn.Module):
    """The paths of a fast Fourier convolution that has no global input."""

    def __init__(self, inputs: int, *, local: int, spread: int, side: int, stride: int) -> None:
        super().__init__()
        padding = 1 if stride > 1 else 0  # the first convolution has a padding of its own before it
        self.convl2l = convolution(inputs, local, side, stride, padding)
        if spread:
            self.convl2g = convolution(inputs, spread, side, stride, padding)


class FirstStep(nn.Module):
    """A fast Fourier convolution of the stem, with batch norm and ReLU: all it is given is local."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int, *, split: bool = False) -> None:
        super().__init__()
        spread = int(outputs * GLOBAL_SHARE) if split else 0
        self.ffc = LocalPaths(inputs, local=outputs - spread, spread=spread, side=side, stride=stride)
        self.bn_l = nn.BatchNorm2d(outputs - spread)
        self.bn_g = nn.BatchNorm2d(spread) if spread else None

    def forward(self, signal: Tensor) -> Any:
        local = torch.relu(self.bn_l(self.ffc.convl2l(signal)))
        if self.bn_g is None:
            return local
        return local, torch.relu(self.bn_g(self.ffc.convl2g(signal)))


class AllPaths(nn.Module):
    """The four paths of a fast Fourier convolution: local and global in, local and global out."""

    def __init__(self, local: int, spread: int) -> None:
        super().__init__()
        self.convl2l = convolution(local, local, 3)
        self.convl2g = convolution(local, spread, 3)
        self.convg2l = convolution(spread, local, 3)
        self.convg2g = SpectralTransform(spread)


class Step(nn.Module):
    """A fast Fourier convolution of a block, with batch norm and ReLU."""

    def __init__(self, local: int, spread: int) -> None:
        super().__init__()
        self.ffc = AllPaths(local, spread)
        self.bn_l = nn.BatchNorm2d(local)
        self.bn_g = nn.BatchNorm2d(spread)

    def forward(self, local: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        to_local = self.ffc.convl2l(local) + self.ffc.convg2l(spread)
        to_spread = self.ffc.convl2g(local) + self.ffc.convg2g(spread)
        return torch.relu(self.bn_l(to_local)), torch.relu(self.bn_g(to_spread))


class Block(nn.Module):
    """Two fast Fourier convolutions, added to what they are given."""

    def __init__(self, local: int, spread: int) -> None:
        super().__init__()
        self.conv1 = Step(local, spread)
        self.conv2 = Step(local, spread)

    def forward(self, both: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        local, spread = self.conv2(*self.conv1(*both))
        return both[0] + local, both[1] + spread


class Joined(nn.Module):
    """Local and global channels, one after the other."""

    def forward(self, both: tuple[Tensor, Tensor]) -> Tensor:
        return torch.cat(both, dim=1)


class Generator(nn.Module):
    """LaMa's generator. big-lama has the default sizes."""

    def __init__(self, width: int = 64, blocks: int = 18) -> None:
        super().__init__()
        wide = width << HALVINGS
        spread = int(wide * GLOBAL_SHARE)
        parts: list[nn.Module] = [nn.ReflectionPad2d(3), FirstStep(4, width, 7, 1)]
        for halving in range(HALVINGS):
            narrow = width << halving
            parts.append(FirstStep(narrow, 2 * narrow, 3, 2, split=halving == HALVINGS - 1))
        parts += [Block(wide - spread, spread) for _ in range(blocks)]
        parts.append(Joined())
        for rise in range(HALVINGS):
            deep = wide >> rise
            parts.append(nn.ConvTranspose2d(deep, deep // 2, 3, stride=2, padding=1, output_padding=1))
            parts += [nn.BatchNorm2d(deep // 2), nn.ReLU()]
        parts += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Sigmoid()]
        self.model = nn.Sequential(*parts)

    def forward(self, masked: Tensor) -> Tensor:
        return self.model(masked)


class Module(nn.Module):
    """What training wraps the generator in, and the TorchScript archive once more."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Scripted(Module):
    """What the TorchScript archive computes: an image (1, 3, H, W) and a mask (1, 1, H, W) in, the filled image out."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        painted = self.model.generator(torch.cat((image * (1 - mask), mask), dim=1))
        return mask * painted + (1 - mask) * image


def seeded_generator(*, width: int = 64, blocks: int = 18, seed: int = 0) -> Generator:
    """A generator whose weights are noise, and whose answers are not: they vary over the whole range of colours."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(width, blocks)
        for module in generator.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
                module.momentum = None  # the statistics become those of the batches that follow
        with torch.inference_mode():
            noise = torch.rand(1, 4, 64, 64)
            generator.train()(noise)
            for module in generator.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean += 0.2 * torch.randn_like(module.running_mean) * module.running_var.sqrt()
                    module.running_var *= torch.empty_like(module.running_var).uniform_(0.7, 1.4)
            generator.eval()
            last = generator.model[-2]
            painted = generator.model[:-1](noise)
            last.weight *= 2 / painted.std()
            last.bias -= painted.mean() * 2 / painted.std()
    return generator


def torchscript(path: Path, generator: Generator | None = None) -> Path:
    """The file `big-lama.pt` that IOPaint and simple-lama-inpainting use."""
    wrapped = Scripted(model=Module(generator=generator or seeded_generator())).eval()
    example = torch.zeros(1, 3, 120, 120), torch.zeros(1, 1, 120, 120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is about to go, and the tracer fears for the sizes
        torch.jit.trace(wrapped, example, strict=False).save(str(path))
    return path


def state_dict(path: Path, generator: Generator | None = None, prefix: str = "") -> Path:
    """A plain state dict, as `.pt` or `.pth`."""
    torch.save(_named(generator or seeded_generator(), prefix), path)
    return path


def safetensors(path: Path, generator: Generator | None = None, prefix: str = "") -> Path:
    """The same tensors in a safetensors file."""
    from safetensors.torch import save_file  # noqa: PLC0415  (not every test that needs torch has it)

    save_file(_named(generator or seeded_generator(), prefix), path)
    return path


def original_folder(folder: Path, generator: Generator | None = None) -> Path:
    """The authors' folder `big-lama`: a training configuration, and a Lightning checkpoint with all sorts of things."""
    (folder / "models").mkdir(parents=True)
    (folder / "config.yaml").write_text("generator:\n  kind: ffc_resnet\n  n_blocks: 18\n", encoding="utf-8")
    tensors = _named(generator or seeded_generator(), "generator.")
    tensors["discriminator.model0.0.weight"] = torch.zeros(64, 3, 4, 4)
    with _vanishing_class("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint") as callback:
        checkpoint = {
            "epoch": 39,
            "global_step": 1_000_000,
            "callbacks": {callback: {"best_model_score": torch.tensor(0.5), "best_model_path": "/runs/best.ckpt"}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"betas": (0.0, 0.9)}]}],
            "hyper_parameters": callback(),
            "state_dict": tensors,
        }
        torch.save(checkpoint, folder / "models" / "best.ckpt")
    return folder


def _named(generator: Generator, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor.clone() for name, tensor in generator.state_dict().items()}


@contextmanager
def _vanishing_class(module_name: str, name: str) -> Iterator[Any]:
    """A class that is there while something is pickled, and gone when it is read."""
    made = type(name, (), {"__module__": module_name, "__reduce__": lambda self: (type(self), (), {"kept": [1, 2]})})
    packages = [module_name.rsplit(".", level)[0] for level in range(module_name.count(".") + 1)]
    modules = {package: ModuleType(package) for package in packages}
    setattr(modules[module_name], name, made)
    sys.modules.update(modules)
    try:
        yield made
    finally:
        for package in packages:
            del sys.modules[package]
