import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

_CONVERT = """
import json, sys
import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle

request = json.load(sys.stdin)
masks = [np.array(mask, dtype=np.uint8) * 255 for mask in request["masks"]]
print(json.dumps({
    "rles": [mask2rle(mask) for mask in masks],
    "alphas": [decode_rle(rle)[3::4].tolist() for rle in request["rles"]],
}))
"""

Converter = Callable[..., dict[str, list]]


@pytest.fixture(scope="session")
def converter(label_studio_python: Path) -> Converter:
    """Label Studio's own converter: `converter(masks=…, rles=…)` gives their RLEs and their alphas."""

    def convert(*, masks: Sequence[list] = (), rles: Sequence[list] = ()) -> dict[str, list]:
        request = json.dumps({"masks": masks, "rles": rles})
        command = [label_studio_python, "-c", _CONVERT]
        answer = subprocess.run(command, input=request, capture_output=True, text=True, check=True)
        return json.loads(answer.stdout)

    return convert
