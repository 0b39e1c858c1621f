import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import cv2
import numpy as np
import pytest
import structlog

from cleanplate.app.application import Application
from cleanplate.app.erasing import Erasing, ErasureWatch
from cleanplate.domain.image import RgbImage, Size, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.embeddings import EmbeddingKey, ImageIdentity, is_stored
from cleanplate.engines.protocols import Embedding, Segmentation
from cleanplate.errors import JobError, SettingsError, StorageUnavailableError
from cleanplate.jobs.job import NewJob, Subject
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.storage.ledger import CopyRecord
from fakes.connectable import CONFIG
from fakes.redis_server import RedisServer

WAIT_S = 20


@dataclass(frozen=True)
class Prepared:
    size: Size
    size_bytes: int = 1000


class PackingSegmenter:
    version = "fake-1"

    def __init__(self) -> None:
        self.embedded = 0

    def embed(self, image: RgbImage) -> Prepared:
        self.embedded += 1
        return Prepared(size_of(image))

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:  # noqa: ARG002  the real one's signature
        mask = np.ones((embedding.size.height, embedding.size.width), dtype=np.bool_)
        return Segmentation(mask, 0.5, np.where(mask, 1, -1).astype(np.float32))

    def pack(self, embedding: Embedding) -> bytes:
        return bytes([embedding.size.width, embedding.size.height])

    def unpack(self, content: bytes) -> Prepared:
        return Prepared(Size(content[0], content[1]))


@pytest.fixture
def segmenter(monkeypatch) -> PackingSegmenter:
    made = PackingSegmenter()
    monkeypatch.setattr("cleanplate.app.application.segmenter_for", lambda _: made)
    return made


class Project:
    """Two tasks with an image each."""

    def __init__(self, label_studio) -> None:
        self.id = label_studio.add_project(CONFIG)
        self.urls: dict[int, str] = {}
        for width in (10, 20):
            _, png = cv2.imencode(".png", np.full((8, width, 3), width, dtype=np.uint8))
            url = label_studio.add_upload(self.id, f"{width}.png", png.tobytes())
            self.urls[label_studio.add_task(self.id, {"image": url})] = url
        self.first, self.second = self.urls
        self._label_studio = label_studio
        self._sizes = {task: Size(width, 8) for task, width in zip(self.urls, (10, 20), strict=True)}

    def image(self, task: int) -> ImageIdentity:
        return ImageIdentity(self._label_studio.url, self.id, task, self.urls[task])

    def click(self, task: int) -> PredictRequest:
        size = self._sizes[task]
        item: dict[str, Any] = {
            "id": "k",
            "type": "keypointlabels",
            "from_name": "kp",
            "to_name": "image",
            "is_positive": True,
            "original_width": size.width,
            "original_height": size.height,
            "value": {"x": 30, "y": 30, "keypointlabels": ["Face"]},
        }
        return PredictRequest.parse(
            {
                "tasks": [{"id": task, "data": {"image": self.urls[task]}}],
                "project": f"{self.id}.1",
                "label_config": CONFIG,
                "params": {"context": {"result": [item]}},
            }
        )


@pytest.fixture
def project(label_studio) -> Project:
    return Project(label_studio)


def held(made: Application, project: Project, task: int) -> bool:
    """Whether a running process has the image in memory, or something that was said about it."""
    kept = EmbeddingKey("fake-1", project.image(task)) in made.predictor._embeddings
    said = any(key.image == project.image(task) for key in made.predictor._conversations._conversations)
    assert kept == said
    return kept


def erase(made: Application, project: Project, task: int | None) -> int:
    return Erasing(made, project_id=project.id, task_id=task).run().images


def test_a_running_process_forgets_what_another_one_erased(application, project, segmenter) -> None:
    serving, elsewhere = application(), application()
    watch = ErasureWatch(serving)
    for task in project.urls:
        serving.predictor.predict(project.click(task))

    assert erase(elsewhere, project, project.first) == 1
    assert held(serving, project, project.first)
    watch.look()

    assert not held(serving, project, project.first)
    assert held(serving, project, project.second)
    assert not is_stored(serving.shelf, project.image(project.first), "fake-1")
    serving.predictor.predict(project.click(project.first))
    assert segmenter.embedded == 3
    watch.look()
    assert held(serving, project, project.first), "what was made after the erasure stays"


@pytest.mark.usefixtures("segmenter")
def test_erasing_a_project_reaches_all_its_tasks(application, project) -> None:
    serving = application()
    watch = ErasureWatch(serving)
    for task in project.urls:
        serving.predictor.predict(project.click(task))

    assert erase(application(), project, None) == 2
    watch.look()

    assert not any(held(serving, project, task) for task in project.urls)


def test_an_image_that_a_running_process_encodes_meanwhile_is_not_kept(
    application, project, segmenter, monkeypatch
) -> None:
    serving = application()
    watch, begun, go_on = ErasureWatch(serving), threading.Event(), threading.Event()
    embed = segmenter.embed

    def slowly(image: RgbImage) -> Prepared:
        begun.set()
        assert go_on.wait(WAIT_S)
        return embed(image)

    monkeypatch.setattr(segmenter, "embed", slowly)
    click = threading.Thread(target=serving.predictor.predict, args=(project.click(project.first),))
    click.start()
    assert begun.wait(WAIT_S)
    erase(application(), project, project.first)
    watch.look()
    go_on.set()
    click.join(WAIT_S)

    assert EmbeddingKey("fake-1", project.image(project.first)) not in serving.predictor._embeddings
    assert not is_stored(serving.shelf, project.image(project.first), "fake-1")


@pytest.mark.usefixtures("segmenter")
def test_whoever_serves_looks_by_itself(application, project, monkeypatch) -> None:
    monkeypatch.setattr("cleanplate.app.erasing.INTERVAL_S", 0.01)
    serving = application()
    serving.predictor.predict(project.click(project.first))
    serving.erasure_watch.start()

    erase(application(), project, project.first)

    wait_until(lambda: not held(serving, project, project.first))
    serving.close()
    assert not serving.erasure_watch._thread.is_alive()


@pytest.mark.usefixtures("segmenter")
def test_a_ledger_that_cannot_be_read_is_told_once_and_the_looking_goes_on(application, project, monkeypatch) -> None:
    monkeypatch.setattr("cleanplate.app.erasing.INTERVAL_S", 0.001)
    serving, asked = application(), []

    def fail(*, after: int) -> None:
        asked.append(after)
        raise StorageUnavailableError("the disk is full")

    with structlog.testing.capture_logs() as logs:
        watch = serving.erasure_watch
        serving.predictor.predict(project.click(project.first))
        with monkeypatch.context() as broken:
            broken.setattr(serving.ledger, "erasures", fail)
            watch.start()
            wait_until(lambda: len(asked) > 3)
        erase(application(), project, project.first)
        wait_until(lambda: not held(serving, project, project.first))

    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert [line["reason"] for line in warnings] == ["storage_unavailable"]


def test_other_machines_forget_it_too_also_one_that_was_away(application, project, segmenter, tmp_path) -> None:
    with RedisServer() as redis:
        shared = {"CLEANPLATE_REDIS_URL": redis.url, "CLEANPLATE_EMBEDDING_SECRET": "e" * 20}

        def machine(name: str) -> Application:
            return application(CLEANPLATE_DATA_DIR=str(tmp_path / name), **shared)

        here, there, away = machine("here"), machine("there"), machine("away")
        watch = ErasureWatch(there)
        for made in (here, there, away):
            made.predictor.predict(project.click(project.first))
        assert segmenter.embedded == 1
        away.close()

        erase(here, project, project.first)
        watch.look()
        back = machine("away")
        before = back.embedding_disk.shown(project.image(project.first))
        ErasureWatch(back).look()

        assert not held(there, project, project.first)
        assert there.embedding_disk.shown(project.image(project.first)) is None
        assert before is not None
        assert back.embedding_disk.shown(project.image(project.first)) is None
        assert not is_stored(here.shelf, project.image(project.first), "fake-1")
        # What was heard once is not done again.
        there.predictor.predict(project.click(project.first))
        ErasureWatch(there).look()
        assert there.embedding_disk.shown(project.image(project.first)) is not None
        for made in (here, there, back):
            made.close()


@pytest.mark.usefixtures("segmenter")
def test_a_shelf_that_cannot_be_reached_is_said_and_the_rest_is_erased(application, project) -> None:
    shared = {"CLEANPLATE_REDIS_URL": "redis://127.0.0.1:1/0", "CLEANPLATE_EMBEDDING_SECRET": "e" * 20}
    serving = application(**shared)
    watch = ErasureWatch(serving)
    serving.predictor.predict(project.click(project.first))

    with pytest.raises(StorageUnavailableError, match="Redis"):
        erase(application(**shared), project, project.first)
    watch.look()

    assert not held(serving, project, project.first)
    assert serving.embedding_disk.shown(project.image(project.first)) is None


def test_while_a_copy_is_about_to_be_made_nothing_is_erased(application, project) -> None:
    made = application()
    made.queue.put(NewJob("k" * 64, Subject(made.client.url, project.id, project.first, 3)))

    with pytest.raises(JobError, match=f"task {project.first}"):
        Erasing(made, project_id=project.id, task_id=None)

    Erasing(made, project_id=project.id, task_id=project.second)


def test_a_copy_in_another_label_studio_is_not_touched(application, project) -> None:
    made = application()
    made.ledger.put(CopyRecord("abc", "http://other", project.id, project.first, 3, "k", 9, "x.png", "/x.png", "00", 1))

    with pytest.raises(SettingsError, match="another Label Studio"):
        Erasing(made, project_id=project.id, task_id=project.first)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + WAIT_S
    while not condition():
        assert monotonic() < deadline, "it never happened"
        sleep(0.001)
