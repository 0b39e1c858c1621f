"""Which image of a task an Image tag shows."""

from collections.abc import Mapping
from typing import Any

from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.errors import PayloadError
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import Task


def image_of_task(
    task: Task, to_name: str, *, config: LabelConfig, project_id: int, label_studio_url: str
) -> ImageIdentity:
    """The image that `<Image name="to_name">` shows for a task.

    Raises:
        PayloadError: The task's data hold no address there.
    """
    tag = config.image(to_name)
    url = _looked_up(task.data, tag.key) if tag is not None and tag.key is not None else None
    if not isinstance(url, str) or not url:
        raise PayloadError(f'the task\'s data hold no address where <Image name="{to_name}"> looks for one')
    return ImageIdentity(label_studio_url, project_id, task.id, url)


def _looked_up(data: Mapping[str, Any], key: str) -> Any:
    """What Label Studio's frontend finds in a task's data at a key such as `image` or `pages[0].scan`."""
    if key in data:
        return data[key]
    value: Any = data
    for part in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
