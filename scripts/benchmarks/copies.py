"""How long it takes from an annotation to its published clean copy, in the product as `scripts/run` starts it.

Label Studio, backend and worker run on this machine. A photograph of 12 MP with a plate-sized and a person-sized
rectangle is annotated over Label Studio's API, and the time runs until the copy is published. A job is put when its
webhook has come and was looked up.
"""

import argparse
import io
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from PIL import Image
from skimage import data as photographs

CHECKOUT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "e2e"))

from running import Product, environment_without_ours, free_port, memory_of, scripts_run  # noqa: E402  (found above)
from studio import Studio, rectangle  # noqa: E402

ROUNDS: Final = 5
SIZE: Final = (4000, 3000)
HOLES: Final = {"1.4 %": ((1200, 1000, 1400, 1060), (2000, 1200, 2240, 1870)), "5 %": ((1700, 1100, 2474, 1875),)}
POLL_S: Final = 0.02
DEADLINE_S: Final = 120
_JOB_US: Final = """
    SELECT jobs.updated_at - jobs.created_at FROM jobs JOIN subjects USING (subject_id)
    WHERE subjects.annotation_id = ? AND jobs.state = 'done'"""
CONFIG: Final = """
<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image" smart="false"><Label value="Plate" clean="remove"/></RectangleLabels>
</View>
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench copies", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is timed; medians are shown")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = _measured(Path(folder), options.rounds)
    print(json.dumps(rows, indent=2) if options.json else "\n".join(_table(rows)))
    return 0


def _measured(data_dir: Path, rounds: int) -> list[dict[str, Any]]:
    port, backend_port = free_port(), free_port()
    environment = environment_without_ours()
    files = {".jpg": _encoded("JPEG", quality=90), ".png": _encoded("PNG", compress_level=1)}
    with scripts_run(data_dir, environment, "--port", str(port), "--backend-port", str(backend_port)) as start_s:
        memory = memory_of(data_dir)
        url = f"http://127.0.0.1:{port}"
        settings = {"LABEL_STUDIO_URL": url, "LABEL_STUDIO_API_KEY": memory["api_key"]}
        product = Product(
            studio=Studio(url, memory["api_key"]),
            backend_url=f"http://127.0.0.1:{backend_port}",
            data_dir=data_dir,
            settings={**environment, **settings, "CLEANPLATE_DATA_DIR": str(data_dir)},
            memories=(memory, memory),
            second_start_s=start_s,
        )
        project = product.studio.create_project("12 MP", CONFIG)
        product.connect(project)
        return [
            {
                "file": f"{suffix}, {len(content) / 1e6:.1f} MB",
                "masked": masked,
                **_times([_timed(product, project, (f"photograph{suffix}", content), masked) for _ in range(rounds)]),
            }
            for suffix, content in files.items()
            for masked in HOLES
        ]


class _Times(NamedTuple):
    """Of one copy, in seconds."""

    annotation_s: float
    job_s: float


def _times(times: Sequence[_Times]) -> dict[str, float]:
    from_annotation = [each.annotation_s for each in times]
    return {
        "job_s": round(statistics.median(each.job_s for each in times), 2),
        "median_s": round(statistics.median(from_annotation), 2),
        "slowest_s": round(max(from_annotation), 2),
    }


def _timed(product: Product, project: int, file: tuple[str, bytes], masked: str) -> _Times:
    studio = product.studio
    task = studio.upload(project, *file)
    before = len(studio.copies(project))
    start = time.perf_counter()
    annotation = studio.annotate(task, [rectangle(hole, SIZE) for hole in HOLES[masked]])
    # Asked so often, Label Studio would be busy with the answers; a job is done when its copy is published and noted.
    while (job_s := _job_s(product.data_dir / "jobs.sqlite3", annotation)) is None:
        if time.perf_counter() - start > DEADLINE_S:
            raise SystemExit(f"no copy within {DEADLINE_S} s")
        time.sleep(POLL_S)
    times = _Times(time.perf_counter() - start, job_s)
    if len(studio.copies(project)) != before + 1:
        raise SystemExit("the job is done, and Label Studio has no copy")
    return times


def _job_s(queue: Path, annotation: int) -> float | None:
    """How long an annotation's job took from when the webhook had put it; None as long as it is not done."""
    with closing(sqlite3.connect(f"file:{queue}?mode=ro", uri=True)) as connection:
        row = connection.execute(_JOB_US, (annotation,)).fetchone()
    return None if row is None else row[0] / 1e6


def _encoded(kind: str, **options: Any) -> bytes:
    width, height = SIZE
    enlarged = cv2.resize(photographs.astronaut(), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, 3, enlarged.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(enlarged + grain, 0, 255).astype(np.uint8)).save(file, kind, **options)
    return file.getvalue()


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| 4000×3000 | masked | job → copy | annotation → copy | slowest |", "|---|---|---|---|---|"]
    for row in rows:
        times = " | ".join(f"{row[name]:.2f} s" for name in ("job_s", "median_s", "slowest_s"))
        lines.append(f"| {row['file']} | {row['masked']} | {times} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
