"""All that makes copies, joined as the application joins it, around a fake Label Studio."""

import io
import os
import signal
import sqlite3
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.domain.policy import Approval
from cleanplate.engines.registry import load_inpainter
from cleanplate.jobs.job import Job, Lease
from cleanplate.jobs.sqlite import SqliteQueue
from cleanplate.jobs.sweep import Sweeper
from cleanplate.jobs.worker import Worker
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.media import Media
from cleanplate.pipeline.approvals import Approvals
from cleanplate.pipeline.job import CopyMaker
from cleanplate.pipeline.leftovers import Leftovers
from cleanplate.pipeline.places import Places
from cleanplate.pipeline.publish import Publisher
from cleanplate.storage.ledger import Ledger
from cleanplate.storage.names import Names
from fakes.label_studio import TOKEN, FakeLabelStudio

if TYPE_CHECKING:
    from cleanplate.engines.protocols import Detector

LIMITS = ImageLimits()
WIDTH, HEIGHT = 96, 64
FACE = (30, 20, 60, 45)
TREE = (70, 5, 90, 25)

CONFIG = """
<View>
  <Image name="image" value="$image"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Face"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="false">
    <Label value="Face" clean="remove"/><Label value="Tree"/>
  </RectangleLabels>
</View>
"""


def photograph(kind: str = "PNG", **options: object) -> bytes:
    """A face on rough ground."""
    image = np.random.default_rng(3).integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    left, top, right, bottom = FACE
    image[top:bottom, left:right] = (250, 20, 20)
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def rectangle(box: tuple[int, int, int, int], label: str = "Face", region_id: str = "face") -> dict[str, Any]:
    """The result item of a rectangle over whole pixels."""
    left, top, right, bottom = box
    return {
        "id": region_id,
        "from_name": "box",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {
            "x": 100 * left / WIDTH,
            "y": 100 * top / HEIGHT,
            "width": 100 * (right - left) / WIDTH,
            "height": 100 * (bottom - top) / HEIGHT,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }


def local_task(fake: FakeLabelStudio, **storage: object) -> int:
    """A task of a new project whose image lies in the folder "street", which a storage of the project imports."""
    project = fake.add_project(CONFIG)
    fake.storages[1] = {
        "id": 1,
        "project": project,
        "path": str(fake.document_root / "street"),
        "recursive_scan": True,
        "regex_filter": None,
        "title": "street",
        **storage,
    }
    return fake.add_task(project, {"image": "http://studio/data/local-files/?d=street/day%201/a%20b.png"})


def redness(content: bytes, box: tuple[int, int, int, int] = FACE) -> float:
    """The share of pixels in a box that have the face's colour."""
    left, top, right, bottom = box
    part = picture_from_bytes(content, LIMITS).image[top:bottom, left:right].astype(int)
    return float((part[..., 0] - part[..., 1] > 120).mean())


class Workshop:
    """One process that works for a Label Studio. Several share a folder as processes share a data directory."""

    def __init__(self, url: str, folder: Path, *, local_root: Path | None = None, approval: str = "submitted") -> None:
        self.url = url
        self.folder = folder
        self.local_root = local_root
        self.approval = Approval.from_text(approval)
        self.inpainter = load_inpainter("opencv")
        self.detector: Detector | None = None

    @cached_property
    def client(self) -> LabelStudioClient:
        return LabelStudioClient(self.url, TOKEN, retries=0)

    @cached_property
    def media(self) -> Media:
        return Media(self.client)

    @cached_property
    def queue(self) -> SqliteQueue:
        return SqliteQueue(self.folder / "jobs.sqlite3", lease_s=60, max_attempts=5)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.sqlite3")

    @cached_property
    def approvals(self) -> Approvals:
        return Approvals(self.client, approval=self.approval, engine=self.inpainter.version)

    @cached_property
    def places(self) -> Places:
        return Places(self.client, self.media, local_root=self.local_root)

    @cached_property
    def publisher(self) -> Publisher:
        return Publisher(self.client, self.places, self.ledger)

    @cached_property
    def names(self) -> Names:
        return Names(b"k" * 32)

    @cached_property
    def maker(self) -> CopyMaker:
        return CopyMaker(
            client=self.client,
            media=self.media,
            approvals=self.approvals,
            inpainter=self.inpainter,
            detector=self.detector,
            limits=LIMITS,
            names=self.names,
            places=self.places,
            publisher=self.publisher,
            ledger=self.ledger,
        )

    @cached_property
    def leftovers(self) -> Leftovers:
        return Leftovers(self.client, self.places, self.ledger, self.queue, interval_s=60)

    @cached_property
    def sweeper(self) -> Sweeper:
        return Sweeper(self.queue, self.approvals, interval_s=0)

    def sweep(self) -> None:
        """Put a job for everything that was approved."""
        self.sweeper.tick()

    def work(self, *, on_step: Callable[[Lease, str], None] | None = None) -> list[Job]:
        """Do every job that is ready; all jobs as they are then, the oldest first.

        A job that is to be tried again waits a minute, not a random time that may have passed before the last job.
        """
        worker = Worker(self.queue, self.maker, lease_s=60, on_step=on_step, exit_process=_never)
        with patch("cleanplate.jobs.worker._backoff_s", return_value=60.0):
            while worker.work(Event()):
                pass
        return sorted(self.queue.jobs(), key=lambda job: job.created_at)

    def sweep_and_work(self) -> list[Job]:
        """Both, one after the other."""
        self.sweep()
        return self.work()

    def expire_leases(self) -> None:
        """Let the time pass after which a worker that was killed is not waited for any more."""
        with sqlite3.connect(self.folder / "jobs.sqlite3") as database:
            database.execute("UPDATE jobs SET lease_until = 1 WHERE lease_until IS NOT NULL")
            database.execute("UPDATE jobs SET ready_at = 1")
        database.close()


def work_until_killed(url: str, folder: Path, step: str) -> None:
    """What a worker process does that is killed when it comes to a step; with no step it is killed from outside."""

    def kill(_: Lease, reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Workshop(url, folder).work(on_step=kill)


def _never(status: int) -> None:
    raise AssertionError(f"the worker ended its process with {status}")
