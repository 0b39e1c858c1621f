"""Label Studio's API, as far as these tests arrange and look at things with it."""

import io
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import requests
from PIL import Image, ImageOps

TIMEOUT_S = 30
POLL_S = 0.25
COPY_KEY = "cleanplate"
# In which a copy must have come.
WITHIN_S = 15
# Longer than that: what comes in time is the webhook's work and not the sweep's.
SWEEP_INTERVAL_S = 20

Seen = TypeVar("Seen")


class Studio:
    """One user's view of Label Studio."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Token {api_key}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._session.request(method, self.url + path, timeout=TIMEOUT_S, **arguments)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None

    def create_project(self, title: str, label_config: str) -> int:
        project = {"title": title, "label_config": label_config}
        return int(self.call("POST", "/api/projects/", json=project)["id"])

    def upload(self, project: int, name: str, content: bytes) -> int:
        """Import an image; the number of its task."""
        path = f"/api/projects/{project}/import?commit_to_project=true&return_task_ids=true"
        (task,) = self.call("POST", path, files={"file": (name, content)})["task_ids"]
        return int(task)

    def tasks(self, project: int) -> list[dict[str, Any]]:
        return self.call("GET", f"/api/tasks?project={project}&page_size=100&fields=all")["tasks"]

    def task(self, project: int, number: int) -> dict[str, Any]:
        (found,) = [task for task in self.tasks(project) if task["id"] == number]
        return found

    def copies(self, project: int) -> list[dict[str, Any]]:
        return [task for task in self.tasks(project) if COPY_KEY in task["data"]]

    def annotate(self, task: int, result: list[dict[str, Any]]) -> int:
        return int(self.call("POST", f"/api/tasks/{task}/annotations/", json={"result": result})["id"])

    def annotation(self, number: int) -> dict[str, Any]:
        return self.call("GET", f"/api/annotations/{number}/")

    def change_annotation(self, number: int, result: list[dict[str, Any]]) -> None:
        self.call("PATCH", f"/api/annotations/{number}/", json={"result": result})

    def delete_annotation(self, number: int) -> None:
        self.call("DELETE", f"/api/annotations/{number}/")

    def download(self, task: dict[str, Any]) -> bytes:
        """The bytes of a task's image, as Label Studio gives them out."""
        address = task["data"]["image"].removeprefix(self.url)
        answer = self._session.get(self.url + address, timeout=TIMEOUT_S)
        assert answer.ok, f"{address}: {answer.status_code}"
        return answer.content

    def image(self, task: dict[str, Any]) -> np.ndarray:
        """A task's image, upright, as (H, W, 3)."""
        with Image.open(io.BytesIO(self.download(task))) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))

    def silence_webhooks(self, project: int) -> None:
        """Let the project's events be lost."""
        for webhook in self.call("GET", f"/api/webhooks/?project={project}"):
            self.call("PATCH", f"/api/webhooks/{webhook['id']}/", json={"is_active": False})


def rectangle(box_px: tuple[int, int, int, int], size: tuple[int, int], *, label: str = "Plate") -> dict[str, Any]:
    """The result item of a rectangle over whole pixels: left, top, right, bottom; the size is width, height."""
    left, top, right, bottom = box_px
    width, height = size
    value = {
        "x": 100 * left / width,
        "y": 100 * top / height,
        "width": 100 * (right - left) / width,
        "height": 100 * (bottom - top) / height,
        "rotation": 0,
        "rectanglelabels": [label],
    }
    return {
        "id": f"r{left}-{top}-{right}-{bottom}",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
    }


def wait_for(look: Callable[[], Seen], *, within_s: float, what: str) -> Seen:
    """Look again and again until there is something to see; that."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"no {what} within {within_s:g} s"
        time.sleep(POLL_S)
