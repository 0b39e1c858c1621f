"""OpenVINO: the same arithmetic in less of a processor's time.

The library is an extra, and only this module and the graphs that are made for it import it.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import openvino
import torch

from cleanplate.engines.devices import Precision
from cleanplate.errors import EngineError

Arrays = Mapping[str, npt.NDArray[np.float32]]

_TYPES: Final[Mapping[Precision, openvino.Type]] = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}


class CompiledGraph:
    """A graph made for this processor. Immutable, so any number of threads may use it."""

    def __init__(self, graph: openvino.Model, precision: Precision) -> None:
        self._compiled: Final = _core().compile_model(
            graph,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": _TYPES[precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                # Several processes that pin their threads would all pin them to the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        used = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        if used != _TYPES[precision]:
            raise EngineError(f"OpenVINO computes with {used} here where {precision} is wanted")

    def __call__(self, given: Arrays) -> tuple[npt.NDArray[np.float32], ...]:
        """What the graph gives, in memory of its own.

        Args:
            given: by the names of the graph's parameters.
        """
        # A request holds what goes in and out. To make one costs little, and nobody else can have it.
        results = self._compiled.create_infer_request().infer(dict(given), share_inputs=True)
        return tuple(np.asarray(results[number]) for number in range(len(results)))


def knows(precision: Precision) -> bool:
    """Whether OpenVINO can compute with it on this processor, rather than with fp32 in its place."""
    return precision == "fp32" or "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _core() -> Any:
    return openvino.Core()
