import builtins
import sys

import pytest

torch = pytest.importorskip("torch", reason="devices are torch's")

from cleanplate.engines import devices  # noqa: E402  (after the skip)
from cleanplate.engines.devices import (  # noqa: E402
    device_of,
    exactly,
    precision_of,
    runtime_of,
    torch_errors_translated,
)
from cleanplate.errors import EngineError, EngineMemoryError, EngineMissingError  # noqa: E402

CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))


@pytest.fixture
def machine(monkeypatch):
    """A machine with these GPUs."""

    def has(*, cuda: bool = False, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.fixture
def without_openvino(monkeypatch):
    """As if it were not installed."""
    find = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.partition(".")[0] == "openvino":
            raise ModuleNotFoundError("No module named 'openvino'", name="openvino")
        return find(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "cleanplate.engines.openvino_runtime", raising=False)


# Devices


@pytest.mark.parametrize(
    ("gpus", "chosen"),
    [({}, CPU), ({"mps": True}, MPS), ({"cuda": True}, CUDA), ({"cuda": True, "mps": True}, CUDA)],
)
def test_a_gpu_is_taken_where_there_is_one_and_cuda_before_a_macs(machine, gpus, chosen) -> None:
    machine(**gpus)

    assert device_of("auto") == chosen


@pytest.mark.parametrize(("wish", "remedy"), [("cuda", "CUDA build"), ("mps", "Apple silicon")])
def test_a_gpu_that_is_asked_for_and_missing_is_an_error_that_says_what_it_takes(machine, wish, remedy) -> None:
    machine()

    with pytest.raises(EngineError, match=f"CLEANPLATE_DEVICE is {wish}, .*{remedy}"):
        device_of(wish)


@pytest.mark.parametrize("wish", ["cpu", "cuda", "mps"])
def test_a_device_that_is_asked_for_and_there_is_taken(machine, wish) -> None:
    machine(cuda=True, mps=True)

    assert device_of(wish) == torch.device(wish)


def test_a_macs_gpu_computes_in_fp32_unless_told_otherwise(monkeypatch) -> None:
    monkeypatch.delattr(devices, "_faster")  # nothing is timed

    assert precision_of("auto", MPS) == "fp32"
    assert precision_of("bf16", MPS) == "bf16"


@pytest.mark.parametrize("device", [CUDA, MPS])
def test_a_gpu_is_used_by_one_thread_at_a_time(device) -> None:
    with exactly(device):
        assert devices._GPU.locked()
    assert not devices._GPU.locked()


def test_a_mac_without_memory_says_so() -> None:
    with pytest.raises(EngineMemoryError, match="no room to fill"), torch_errors_translated("lama", "fill a crop"):
        raise RuntimeError("MPS backend out of memory (MPS allocated: 17.00 GB, other allocations: 1.10 GB)")


# Runtimes


def test_openvino_is_taken_on_a_processor_and_torch_on_a_gpu() -> None:
    pytest.importorskip("openvino", reason="an extra")

    assert runtime_of("auto", CPU, "fp32") == runtime_of("openvino", CPU, "fp32") == "openvino"
    assert runtime_of("torch", CPU, "fp32") == "torch"
    assert runtime_of("auto", CUDA, "fp32") == runtime_of("auto", MPS, "fp32") == "torch"


@pytest.mark.usefixtures("without_openvino")
def test_without_openvino_torch_does_it_and_a_wish_for_openvino_says_what_to_install() -> None:
    assert runtime_of("auto", CPU, "fp32") == "torch"
    with pytest.raises(EngineMissingError, match=r"pip install 'cleanplate\[openvino\]'"):
        runtime_of("openvino", CPU, "fp32")


@pytest.mark.parametrize("device", [CUDA, MPS])
def test_openvino_cannot_be_had_on_a_gpu(device) -> None:
    with pytest.raises(EngineError, match=f"the device is {device.type}: set CLEANPLATE_DEVICE to cpu"):
        runtime_of("openvino", device, "fp32")


def test_where_openvino_would_not_compute_in_bf16_torch_does(monkeypatch) -> None:
    runtime = pytest.importorskip("cleanplate.engines.openvino_runtime", reason="an extra", exc_type=ImportError)
    monkeypatch.setattr(runtime, "knows", lambda precision: precision == "fp32")

    assert runtime_of("auto", CPU, "bf16") == "torch"
    assert runtime_of("auto", CPU, "fp32") == "openvino"
    with pytest.raises(EngineError, match="CLEANPLATE_PRECISION to fp32"):
        runtime_of("openvino", CPU, "bf16")
