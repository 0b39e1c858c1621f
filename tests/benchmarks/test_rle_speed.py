import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "rle.py"
GOAL = 10


@pytest.mark.benchmark
def test_the_largest_masks_are_encoded_and_decoded_ten_times_as_fast_as_by_the_sdk(label_studio_python):
    command = [sys.executable, SCRIPT, "--json", "--label-studio-python", label_studio_python]

    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    large = [row for row in rows if row["size"] == "4000×3000"]
    assert {row["mask"] for row in large} == {"smooth", "ragged"}
    for row in large:
        assert row["encode"]["times_as_fast"] >= GOAL
        assert row["decode"]["times_as_fast"] >= GOAL
