"""How long it takes from an annotation to its published clean copy, in the product as `scripts/run` starts it.

Label Studio, backend and worker run on this machine. A photograph of 12 MP with a plate-sized and a person-sized
rectangle is annotated over Label Studio's API, and the time runs until the copy's task is there and its ledger's line.
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
from typing import Any, Final

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
                **_times([_seconds(product, project, (f"photograph{suffix}", content), masked) for _ in range(rounds)]),
            }
            for suffix, content in files.items()
            for masked in HOLES
        ]


def _times(seconds: Sequence[float]) -> dict[str, float]:
    return {"median_s": round(statistics.median(seconds), 2), "slowest_s": round(max(seconds), 2)}


def _seconds(product: Product, project: int, file: tuple[str, bytes], masked: str) -> float:
    studio, ledger = product.studio, product.data_dir / "ledger.sqlite3"
    task = studio.upload(project, *file)
    before = _published(ledger)
    start = time.perf_counter()
    studio.annotate(task, [rectangle(hole, SIZE) for hole in HOLES[masked]])
    # Asked so often, Label Studio would be busy with the answers; the ledger's line is the last thing a worker writes.
    while _published(ledger) == before:
        if time.perf_counter() - start > DEADLINE_S:
            raise SystemExit(f"no copy within {DEADLINE_S} s")
        time.sleep(POLL_S)
    seconds = time.perf_counter() - start
    if len(studio.copies(project)) != _published(ledger):
        raise SystemExit("the ledger and Label Studio do not agree on the copies")
    return seconds


def _published(ledger: Path) -> int:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM copies").fetchone()
    return int(count)


def _encoded(kind: str, **options: Any) -> bytes:
    width, height = SIZE
    enlarged = cv2.resize(photographs.astronaut(), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, 3, enlarged.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(enlarged + grain, 0, 255).astype(np.uint8)).save(file, kind, **options)
    return file.getvalue()


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| 4000×3000 | masked | annotation → copy, median | slowest |", "|---|---|---|---|"]
    return lines + [
        f"| {row['file']} | {row['masked']} | {row['median_s']:.2f} s | {row['slowest_s']:.2f} s |" for row in rows
    ]


if __name__ == "__main__":
    raise SystemExit(main())
