import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="sam needs torch")
openvino = pytest.importorskip("openvino", reason="an extra")

from cleanplate.engines.openvino_runtime import CompiledGraph, knows  # noqa: E402  (after the skip)
from cleanplate.engines.segmenters.sam_parts.graph_nodes import constant, parameter, product  # noqa: E402
from cleanplate.errors import EngineError  # noqa: E402

LISTENING = """
import sys
reached = []
sys.addaudithook(lambda event, arguments: reached.append(event) if event.startswith("socket.") else None)
import numpy as np
from openvino import Model, opset13 as ops
from cleanplate.engines.openvino_runtime import CompiledGraph
given = ops.parameter([2], np.float32)
given.output(0).set_names({"given"})
CompiledGraph(Model([ops.relu(given)], [given], "graph"), "fp32")({"given": np.ones(2, dtype=np.float32)})
print([event for event in reached if event != "socket.__new__"])
"""


def product_graph(weight):
    """A graph that multiplies a row with a matrix."""
    given = parameter("given", (1, len(weight)))
    return openvino.Model([product(given, constant(torch.from_numpy(weight)))], [given], "product")


def test_fp32_is_fp32_and_uses_no_more_threads_than_torch() -> None:
    weight = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    compiled = CompiledGraph(product_graph(weight), "fp32")
    row = np.random.default_rng(1).normal(size=(1, 512)).astype(np.float32)

    (found,) = compiled({"given": row})

    exact = row.astype(np.float64) @ weight.astype(np.float64)
    assert np.linalg.norm(found - exact) / np.linalg.norm(exact) < 1e-6  # bf16: 1e-3
    assert compiled._compiled.get_property("INFERENCE_NUM_THREADS") == torch.get_num_threads()
    assert compiled._compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32


def test_a_precision_that_the_processor_does_not_know_is_an_error_and_not_another_one() -> None:
    graph = product_graph(np.eye(4, dtype=np.float32))

    if knows("bf16"):
        compiled = CompiledGraph(graph, "bf16")
        assert compiled._compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.bf16
    else:
        with pytest.raises(EngineError, match="bf16 is wanted"):
            CompiledGraph(graph, "bf16")


def test_answers_are_kept_when_others_are_asked_for() -> None:
    compiled = CompiledGraph(product_graph(2 * np.eye(4, dtype=np.float32)), "fp32")
    rows = [np.full((1, 4), number, dtype=np.float32) for number in range(200)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: compiled({"given": row})[0], rows))

    for row, answer in zip(rows, answers, strict=True):
        np.testing.assert_array_equal(answer, 2 * row)


def test_the_graph_does_not_depend_on_memory_that_its_maker_lets_go_of() -> None:
    compiled = CompiledGraph(product_graph(np.full((64, 64), 0.5, dtype=np.float32)), "fp32")
    gc.collect()
    others = [np.full((64, 64), 7, dtype=np.float32) for _ in range(50)]

    (found,) = compiled({"given": np.ones((1, 64), dtype=np.float32)})

    assert len(others) == 50
    np.testing.assert_array_equal(found, 32)


def test_openvino_reaches_for_no_network() -> None:
    done = subprocess.run([sys.executable, "-c", LISTENING], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
