"""The fake Label Studio that other tests use answers as the real one does. No browser is needed."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import png

from cleanplate.errors import CleanplateError, LabelStudioRefusedError
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.media import Media
from fakes.label_studio import TOKEN, FakeLabelStudio

pytestmark = pytest.mark.e2e

CONFIG = """
<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image" smart="false"><Label value="Plate" clean="remove"/></RectangleLabels>
</View>
"""
REGION = {
    "id": "r1",
    "from_name": "box",
    "to_name": "image",
    "type": "rectanglelabels",
    "original_width": 8,
    "original_height": 6,
    "image_rotation": 0,
    "value": {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": ["Plate"]},
}
PICTURE = png(np.full((6, 8, 3), 90, dtype=np.uint8))


def error_of(call: Any) -> tuple[str, int | None]:
    try:
        call()
    except CleanplateError as error:
        return type(error).__name__, error.status if isinstance(error, LabelStudioRefusedError) else None
    return "none", None


def story(url: str, token: str, project: int, folder: Path) -> Iterator[Any]:
    """What cleanplate does with a project, and what it sees of it."""
    client = LabelStudioClient(url, token, retries=0)
    media = Media(client)
    begun = datetime.now(UTC) - timedelta(minutes=1)
    later = datetime.now(UTC) + timedelta(hours=1)

    address = media.put_upload(project, name="a_b.png", content=PICTURE)
    yield re.sub(r"\d+/[0-9a-f]{8}-", "…/…-", address)
    yield media.fetch(address, project_id=project, task_id=None) == PICTURE
    yield media.put_upload(project, name="a_b.png", content=PICTURE) == address
    task = client.create_task(project, {"image": address}, meta={"a": 1})
    copy = client.create_task(project, {"image": address, "cleanplate": "c1"}, meta={})
    yield client.task(project, task.id).meta, client.task(project, task.id).data == {"image": address}
    yield [found.id == copy.id for found in client.copies(project, "c1")], client.copies(project, "c2")
    yield [found.id - task.id for found in client.tasks(project, updated_since=begun)]
    yield list(client.tasks(project, updated_since=later)), client.task(project, 10**9)

    annotation = client.create_annotation(task.id, [REGION])
    yield [item.model_dump() for item in client.annotation(annotation.id).result]
    yield [found.id == annotation.id for found in client.task(project, task.id).annotations]
    before = client.task(project, task.id).updated_at
    changed = client.update_annotation(annotation.id, [{**REGION, "id": "r2"}])
    yield [item.id for item in changed.result], changed.updated_at > annotation.updated_at
    yield client.task(project, task.id).updated_at > before
    yield client.update_task(copy.id, {"cleanplate": "c1"}, meta={"b": 2}).data, client.copies(project, "c1")[0].meta
    yield client.delete_annotation(annotation.id), client.delete_annotation(annotation.id)
    yield client.annotation(annotation.id), client.task(project, task.id).annotations
    again = client.create_annotation(task.id, [REGION])
    yield client.delete_task(task.id), client.delete_task(task.id), client.annotation(again.id)

    yield media.delete_upload(project, name="a_b.png"), media.delete_upload(project, name="a_b.png")
    yield error_of(lambda: media.fetch(address, project_id=project, task_id=None))

    local = f"/data/local-files/?d={folder.name}/a.png"
    (folder / "a.png").write_bytes(PICTURE)
    yield error_of(lambda: media.fetch(local, project_id=project, task_id=None))
    yield error_of(lambda: client.create_local_storage(project, path=f"{folder}-not", title="t", regex_filter="(?!)"))
    storage = client.create_local_storage(project, path=str(folder), title="t", regex_filter="(?!)")
    yield storage.title, storage.regex_filter, storage.recursive_scan, storage.path == str(folder)
    yield [found.id == storage.id for found in client.local_storages(project)]
    yield media.fetch(local, project_id=project, task_id=None) == PICTURE
    client._call("POST", f"/api/storages/localfiles/{storage.id}/sync")
    yield len(list(client.tasks(project)))
    yield client.project(10**9), client.project(project).label_config.strip() == CONFIG.strip()
    yield error_of(lambda: LabelStudioClient(url, "0" * 40, retries=0).whoami())


def test_the_fake_label_studio_answers_as_the_real_one(product, studio, tmp_path) -> None:
    real = studio.create_project("as the fake", CONFIG)
    real_folder = product.data_dir / "files" / f"fake-{real}"
    fake_folder = tmp_path / "files" / "fake"
    for folder in (real_folder, fake_folder):
        folder.mkdir(parents=True)

    expected = list(story(studio.url, product.settings["LABEL_STUDIO_API_KEY"], real, real_folder))

    with FakeLabelStudio(document_root=fake_folder.parent) as fake:
        assert list(story(fake.url, TOKEN, fake.add_project(CONFIG), fake_folder)) == expected
