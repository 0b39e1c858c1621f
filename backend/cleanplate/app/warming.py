"""The images of a whole project, prepared before anyone opens them."""

from collections.abc import Iterator
from dataclasses import dataclass

from cleanplate.app.application import Application
from cleanplate.engines.embeddings import ImageIdentity, is_stored
from cleanplate.engines.protocols import Packing
from cleanplate.errors import (
    CleanplateError,
    EngineError,
    LabelStudioAuthError,
    ProjectMissingError,
    SettingsError,
    StorageUnavailableError,
)
from cleanplate.label_studio.client import COPY_KEY
from cleanplate.label_studio.config import LabelConfig
from cleanplate.pipeline.identities import image_of_task


@dataclass(frozen=True)
class Warmed:
    """What became of an image.

    Attributes:
        reason: a stable code for what went wrong; empty if its embedding is stored now.
        message: the same in a sentence.
    """

    task_id: int
    reason: str = ""
    message: str = ""


class ProjectWarming:
    """One run over a project. What an earlier run has stored is passed over, so that one that broke off goes on."""

    def __init__(self, application: Application, project_id: int) -> None:
        """Find out what there is to do.

        Raises:
            EngineError: What the segmenter prepares cannot be stored, or it cannot be loaded.
            SettingsError: There is to be no room for it.
            ProjectMissingError: There is no such project.
            CleanplateError: Label Studio cannot be asked, or the labelling config cannot be read.
        """
        _require_storable(application)
        project = application.client.project(project_id)
        if project is None:
            raise ProjectMissingError(f"Label Studio has no project {project_id}, or the token may not see it")
        self._application = application
        self._version = application.segmenter.version
        self._config = LabelConfig.from_xml(project.label_config)
        self.stored = 0
        self.unreadable: list[Warmed] = []
        self.waiting: list[ImageIdentity] = []
        self.lacking_bytes = 0
        """How much more room all of the project's images need than there is; known when the first is prepared."""
        for image in self._images(project_id):
            if is_stored(application.shelf, image, self._version):
                self.stored += 1
            else:
                self.waiting.append(image)

    def outcomes(self) -> Iterator[Warmed]:
        """Prepare one image after the other; what goes wrong with one does not stop the others.

        Raises:
            LabelStudioAuthError: Label Studio does not take the token any more.
            StorageUnavailableError: Nothing can be stored any more.
        """
        for image in self.waiting:
            try:
                embedding = self._application.predictor.embedding(image)
            except LabelStudioAuthError:
                raise
            except CleanplateError as error:
                yield Warmed(image.task_id, error.reason, str(error))
                continue
            needed_bytes = (self.stored + len(self.waiting)) * embedding.size_bytes
            self.lacking_bytes = max(needed_bytes - self._application.embedding_disk.max_bytes, 0)
            if not is_stored(self._application.shelf, image, self._version):
                raise StorageUnavailableError(
                    "an embedding could not be stored: see that the disk of CLEANPLATE_DATA_DIR is not full, and that "
                    "CLEANPLATE_EMBEDDING_DISK_BYTES has room for it"
                )
            yield Warmed(image.task_id)

    def _images(self, project_id: int) -> Iterator[ImageIdentity]:
        """The images of all tasks but those of copies, which nobody clicks on."""
        client = self._application.client
        for task in client.tasks(project_id):
            for name in () if COPY_KEY in task.data else [image.name for image in self._config.images]:
                try:
                    yield image_of_task(
                        task, name, config=self._config, project_id=project_id, label_studio_url=client.url
                    )
                except CleanplateError as error:
                    self.unreadable.append(Warmed(task.id, error.reason, str(error)))


def _require_storable(application: Application) -> None:
    settings = application.settings
    if not isinstance(application.segmenter, Packing):
        raise EngineError(
            f"what {settings.segmenter} prepares is not stored, since it is as quickly made as it is read: there is "
            f"nothing to do ahead; an engine such as sam is worth it (CLEANPLATE_SEGMENTER)"
        )
    if not settings.embedding_disk_bytes:
        raise SettingsError("CLEANPLATE_EMBEDDING_DISK_BYTES is 0: there is no room to store anything in")
