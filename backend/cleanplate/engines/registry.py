"""The engines by name. To add one: write its file with `def load()`, and give it its line here.

One that needs weights has `def load(weights: Weights)`, and its name in WITH_WEIGHTS, too.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final, cast

from cleanplate.engines.protocols import Detector, Inpainter, Segmenter
from cleanplate.engines.weights import Weights
from cleanplate.errors import EngineMissingError, EngineUnknownError

SEGMENTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "graphcut": "cleanplate.engines.segmenters.graphcut",
        "sam": "cleanplate.engines.segmenters.sam",
        "sam2": "cleanplate.engines.segmenters.sam2",
    }
)

INPAINTERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "exemplar": "cleanplate.engines.inpainters.exemplar",
        "lama": "cleanplate.engines.inpainters.lama",
        "opencv": "cleanplate.engines.inpainters.opencv",
    }
)

DETECTORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cascade": "cleanplate.engines.detectors.cascade",
    }
)

WITH_WEIGHTS: Final = frozenset({"lama", "sam", "sam2"})
"""The engines that need weights, of whatever kind they are."""


def load_segmenter(name: str, weights: Weights | None = None) -> Segmenter:
    """Import and make the segmenter of this name.

    Args:
        name: as in SEGMENTERS.
        weights: for those in WITH_WEIGHTS; the others have no use for it.

    Raises:
        EngineUnknownError: There is none.
        EngineMissingError: Its library is not installed, or its weights are not there.
        WeightsError: Its weights cannot be used.
    """
    return cast("Segmenter", _load("segmenter", SEGMENTERS, name, weights))


def load_inpainter(name: str, weights: Weights | None = None) -> Inpainter:
    """Import and make the inpainter of this name.

    Args:
        name: as in INPAINTERS.
        weights: for those in WITH_WEIGHTS; the others have no use for it.

    Raises:
        EngineUnknownError: There is none.
        EngineMissingError: Its library is not installed, or its weights are not there.
        WeightsError: Its weights cannot be used.
    """
    return cast("Inpainter", _load("inpainter", INPAINTERS, name, weights))


def load_detector(name: str) -> Detector:
    """Import and make the detector of this name.

    Raises:
        EngineUnknownError: There is none.
        EngineMissingError: Its library is not installed.
    """
    return cast("Detector", _load("detector", DETECTORS, name))


def _load(kind: str, table: Mapping[str, str], name: str, weights: Weights | None = None) -> object:
    if name not in table:
        raise EngineUnknownError(f"there is no {kind} {name!r}; known are {', '.join(sorted(table))}")
    try:
        module = import_module(table[name])
    except ModuleNotFoundError as error:
        raise EngineMissingError(f"the {kind} {name!r} needs {error.name}: pip install 'cleanplate[{name}]'") from error
    return module.load(weights or Weights()) if name in WITH_WEIGHTS else module.load()
