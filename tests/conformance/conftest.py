"""Engines as the conformance tests ask them; those that need weights get seeded ones, which have learnt nothing."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache

import pytest

from cleanplate.engines.protocols import Inpainter, Segmenter
from cleanplate.engines.registry import load_inpainter, load_segmenter
from cleanplate.engines.weights import Weights
from cleanplate.errors import EngineMissingError
from fakes.fixtures import label_studio, workshop

__all__ = ["label_studio", "workshop"]


@pytest.fixture(scope="session")
def seeded_weights(tmp_path_factory) -> dict[str, Weights]:
    """The weights of the engines that need some and whose libraries are here, by the engines' names.

    What follows such a name says what else is wished: `sam under openvino`.
    """
    folder, weights = tmp_path_factory.mktemp("weights"), {}
    with suppress(ModuleNotFoundError):
        from fakes import lama_checkpoints  # noqa: PLC0415  (it needs torch)

        generator = lama_checkpoints.seeded_generator(width=16, blocks=3)
        weights["lama"] = Weights(checkpoint=lama_checkpoints.state_dict(folder / "big-lama.pt", generator))
    with suppress(ModuleNotFoundError):
        from fakes import sam_checkpoints  # noqa: PLC0415  (it needs torch and segment-anything)

        sam = sam_checkpoints.seeded_sam()
        checkpoint = sam_checkpoints.state_dict(folder / "sam.pth", sam)
        weights["sam"] = Weights(checkpoint=checkpoint, runtime="torch")
        weights["sam under openvino"] = Weights(checkpoint=checkpoint, device="cpu", runtime="openvino")
    with suppress(ModuleNotFoundError):
        from fakes import sam2_checkpoints  # noqa: PLC0415  (it needs torch and transformers)

        weights["sam2"] = Weights(checkpoint=sam2_checkpoints.hub_folder(folder / "sam2", "sam2"))
    return weights


@pytest.fixture(scope="session")
def inpainter_called(seeded_weights) -> Callable[[str], Inpainter]:
    """Loads an inpainter once; skips, with its reason, if it is not installed here."""

    @cache
    def load(name: str) -> Inpainter:
        try:
            return load_inpainter(name, seeded_weights.get(name))
        except EngineMissingError as error:
            pytest.skip(str(error))

    return load


@pytest.fixture(scope="session")
def segmenter_called(seeded_weights) -> Callable[[str], Segmenter]:
    """Loads a segmenter once; skips, with its reason, if it is not installed here."""

    @cache
    def load(name: str) -> Segmenter:
        try:
            return load_segmenter(name.split(maxsplit=1)[0], seeded_weights.get(name))
        except EngineMissingError as error:
            pytest.skip(str(error))

    return load
