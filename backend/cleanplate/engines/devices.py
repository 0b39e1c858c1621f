"""What networks run on and compute with, as the machine's owner says, or else as suits the machine."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final, Literal

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)

from cleanplate.errors import EngineError, EngineMemoryError, EngineMissingError

Precision = Literal["fp32", "bf16"]
Runtime = Literal["torch", "openvino"]

DTYPES: Final[Mapping[Precision, torch.dtype]] = MappingProxyType({"fp32": torch.float32, "bf16": torch.bfloat16})

_NO_MEMORY: Final = ("can't allocate memory", "MPS backend out of memory")
"""How torch says so for the processor's memory and for that of Apple's GPUs; for CUDA's it has a class."""

_GPU: Final = threading.Lock()

_ROUNDS: Final = 15
_WORTH_IT: Final = 0.8
"""bf16 is taken below this share of the time fp32 takes. Processors that know it need half the time, others several
times as much, so that a busy machine does not tip the balance: the choice is part of the engine's version."""


def device_of(wish: Literal["auto", "cpu", "cuda", "mps"]) -> torch.device:
    """The device to use.

    Raises:
        EngineError: A GPU is asked for, and torch finds none.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wish == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if not there[wish]:
        remedy = "install its CUDA build" if wish == "cuda" else "it takes a Mac with Apple silicon and macOS 14"
        raise EngineError(f"CLEANPLATE_DEVICE is {wish}, and torch finds no such device: {remedy}, or use cpu")
    return torch.device(wish)


def precision_of(wish: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """The precision to use; for `auto` a convolution is timed, in a few hundredths of a second.

    Not on Apple's GPUs: whether they know bf16 at all depends on the system, and nobody has tried it there.
    """
    if wish != "auto":
        return wish
    return "fp32" if device.type == "mps" else _faster(device)


def runtime_of(wish: Literal["auto", "torch", "openvino"], device: torch.device, precision: Precision) -> Runtime:
    """What computes the networks that OpenVINO can compute, too; for `auto` OpenVINO, on a processor, if it is there.

    Raises:
        EngineMissingError: OpenVINO is asked for and not installed.
        EngineError: It is asked for, and cannot compute on this device or in this precision.
    """
    if wish == "torch" or (wish == "auto" and (device.type != "cpu" or find_spec("openvino") is None)):
        return "torch"
    if device.type != "cpu":
        raise EngineError(
            f"CLEANPLATE_RUNTIME is openvino, which is for processors, and the device is {device.type}: set "
            "CLEANPLATE_DEVICE to cpu, or leave the choice to auto"
        )
    try:
        from cleanplate.engines.openvino_runtime import knows  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise EngineMissingError(
            "CLEANPLATE_RUNTIME is openvino, and it is not installed: pip install 'cleanplate[openvino]'"
        ) from error
    if knows(precision):
        return "openvino"
    if wish == "openvino":
        raise EngineError(
            f"OpenVINO cannot compute in {precision} on this processor: set CLEANPLATE_PRECISION to fp32, or "
            "CLEANPLATE_RUNTIME to torch"
        )
    return "torch"


@cache
def _faster(device: torch.device) -> Precision:
    """What the shorter one of two convolutions was computed with; a process tries it once."""
    times_s: dict[Precision, list[float]] = {"fp32": [], "bf16": []}
    with torch.inference_mode():
        for _ in range(_ROUNDS + 1):
            for precision, times in times_s.items():
                times.append(_convolution_s(device, DTYPES[precision]))
    fp32_s, bf16_s = (min(times[1:]) for times in times_s.values())
    return "bf16" if bf16_s < _WORTH_IT * fp32_s else "fp32"


@contextmanager
def torch_errors_translated(engine: str, task: str) -> Iterator[None]:
    """Turn what torch raises into an EngineError that says which *engine* could not do its *task*: `fill a crop …`."""
    try:
        yield
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise EngineMemoryError(f"{engine} has no room to {task}") from error
    except RuntimeError as error:
        if any(words in str(error) for words in _NO_MEMORY):
            raise EngineMemoryError(f"{engine} has no room to {task}") from error
        raise EngineError(f"{engine} cannot {task}: {error}") from error


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """On a GPU: one at a time, the same answer each time, and no rounding of fp32 to fewer digits than it has."""
    if device.type == "cpu":
        yield
        return
    on_cuda = device.type == "cuda"
    # The flags are those of the whole process; nobody else may restore them meanwhile.
    with (
        _GPU,
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False) if on_cuda else nullcontext(),
    ):
        yield


def _convolution_s(device: torch.device, dtype: torch.dtype) -> float:
    grid = torch.ones((1, 256, 32, 32), device=device, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.ones((128, 256, 3, 3), device=device, dtype=dtype).to(memory_format=torch.channels_last)
    # What other programs do on a processor must not count; of a GPU only the clock can tell how long it took.
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    start = clock()
    F.conv2d(grid, weight).sum().item()  # asking for a number waits for the GPU
    return clock() - start
