import json
import os
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from cleanplate.domain.image import RgbImage, Size, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.protocols import Embedding, Segmentation
from cleanplate.errors import EngineMemoryError
from fakes.connectable import CONFIG


@dataclass(frozen=True)
class Prepared:
    size: Size
    size_bytes: int = 1000


class PackingSegmenter:
    version = "fake-1"

    def __init__(self) -> None:
        self.embedded: list[Size] = []
        self.interrupted_at = 0

    def embed(self, image: RgbImage) -> Prepared:
        self.embedded.append(size_of(image))
        if len(self.embedded) == self.interrupted_at:
            raise KeyboardInterrupt
        if size_of(image).width > 100:
            raise EngineMemoryError("no room for an image this size")
        return Prepared(size_of(image))

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:
        raise NotImplementedError

    def pack(self, embedding: Embedding) -> bytes:
        return bytes([embedding.size.width, embedding.size.height]) * 500

    def unpack(self, content: bytes) -> Prepared:
        return Prepared(Size(content[0], content[1]))


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> PackingSegmenter:
    made = PackingSegmenter()
    monkeypatch.setattr("cleanplate.app.application.segmenter_for", lambda _: made)
    return made


@pytest.fixture(autouse=True)
def niceness(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    return asked


@pytest.fixture
def project(label_studio) -> int:
    """Three images of different widths, and a copy."""
    number = label_studio.add_project(CONFIG)
    for width in (10, 20, 30):
        add_image(label_studio, number, width)
    label_studio.add_task(number, {"image": "/data/upload/1/copy.png", "cleanplate": "abc"})
    return number


def add_image(label_studio, project: int, width: int) -> int:
    _, png = cv2.imencode(".png", np.full((8, width, 3), width, dtype=np.uint8))
    return label_studio.add_task(project, {"image": label_studio.add_upload(project, f"{width}.png", png.tobytes())})


def test_all_images_of_a_project_are_prepared_but_those_of_copies(cleanplate, project, segmenter, niceness) -> None:
    answer = cleanplate("warm", "--project", project)

    assert answer.exit_code == 0, answer.output
    assert [size.width for size in segmenter.embedded] == [10, 20, 30]
    assert "3 to prepare, 0 stored already" in answer.stderr
    assert "  3 of 3" in answer.stderr
    assert answer.stdout == "✓ 3 prepared, 0 stored before\n"
    assert niceness == [10]


def test_what_is_stored_is_not_prepared_again(cleanplate, label_studio, project, segmenter) -> None:
    cleanplate("warm", "--project", project)
    add_image(label_studio, project, 40)

    answer = cleanplate("warm", "--project", project)

    assert answer.stdout == "✓ 1 prepared, 3 stored before\n"
    assert [size.width for size in segmenter.embedded] == [10, 20, 30, 40]


def test_a_run_that_was_broken_off_goes_on_where_it_ended(cleanplate, project, segmenter) -> None:
    segmenter.interrupted_at = 2

    answer = cleanplate("warm", "--project", project)

    assert answer.exit_code == 130
    assert "Stopped with 2 to go" in answer.stderr
    assert cleanplate("warm", "--project", project).stdout == "✓ 2 prepared, 1 stored before\n"


def test_an_image_that_fails_is_named_by_its_task_and_does_not_stop_the_others(
    cleanplate, label_studio, project, segmenter
) -> None:
    wide = add_image(label_studio, project, 101)
    empty = label_studio.add_task(project, {"image": None})
    add_image(label_studio, project, 50)

    answer = cleanplate("warm", "--project", project)
    again = json.loads(cleanplate("warm", "--project", project, "--json").stdout)

    assert answer.exit_code == 1
    assert f"task {wide}" in answer.stdout
    assert f"task {empty}" in answer.stdout
    assert "✗ 4 prepared, 0 stored before, 2 failed" in answer.stdout
    assert [size.width for size in segmenter.embedded] == [10, 20, 30, 101, 50, 101]
    assert (again["prepared"], again["stored_before"], again["left"]) == (0, 4, 0)
    assert [failed["reason"] for failed in again["failed"]] == ["bad_payload", "engine_memory"]


def test_an_engine_whose_embeddings_are_not_stored_is_refused_with_a_sentence(cleanplate, project) -> None:
    answer = cleanplate("warm", "--project", project)

    assert answer.exit_code == 1
    assert "graphcut" in answer.stderr
    assert "CLEANPLATE_SEGMENTER" in answer.stderr


@pytest.mark.usefixtures("segmenter")
def test_without_room_nothing_is_begun(cleanplate, project, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_EMBEDDING_DISK_BYTES", "0")

    answer = cleanplate("warm", "--project", project)

    assert answer.exit_code == 1
    assert "CLEANPLATE_EMBEDDING_DISK_BYTES is 0" in answer.stderr


def test_too_little_room_for_one_stops_it_and_for_all_is_told(cleanplate, project, segmenter, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_EMBEDDING_DISK_BYTES", "1032")
    enough_for_one = cleanplate("warm", "--project", project)
    monkeypatch.setenv("CLEANPLATE_EMBEDDING_DISK_BYTES", "1031")
    for_none = cleanplate("warm", "--project", project)

    assert enough_for_one.exit_code == 0
    assert "too small for all of them" in enough_for_one.stderr
    assert for_none.exit_code == 1
    assert "could not be stored" in for_none.stderr
    assert "Stopped with" in for_none.stderr
    assert len(segmenter.embedded) == 4


@pytest.mark.usefixtures("segmenter")
def test_a_script_gets_one_json_whatever_happens(cleanplate, project, monkeypatch) -> None:
    good = json.loads(cleanplate("warm", "--project", project, "--json").stdout)
    monkeypatch.setenv("CLEANPLATE_EMBEDDING_DISK_BYTES", "1031")
    bad = json.loads(cleanplate("warm", "--project", project, "--json").stdout)

    assert (good["prepared"], good["stored_before"], good["left"], good["failed"]) == (3, 0, 0, [])
    assert bad["error"]["reason"] == "storage_unavailable"


@pytest.mark.usefixtures("segmenter", "label_studio")
def test_a_project_that_is_not_there_is_an_error(cleanplate) -> None:
    answer = cleanplate("warm", "--project", 4711)

    assert answer.exit_code == 1
    assert "no project 4711" in answer.stderr
