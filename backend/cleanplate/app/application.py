import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from cleanplate.app.choices import detector_for, inpainter_for, limits_for, segmenter_for
from cleanplate.app.erasing import ErasureWatch
from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.domain.image import RgbImage
from cleanplate.domain.policy import Approval
from cleanplate.engines.embedding_disk import EmbeddingDisk
from cleanplate.engines.embedding_names import key_from_secret
from cleanplate.engines.embedding_shelves import EmbeddingShelves
from cleanplate.engines.embeddings import EmbeddingCache, ImageIdentity, Shelf
from cleanplate.engines.protocols import Detector, Inpainter, Segmenter
from cleanplate.errors import PolicyError, SettingsError, StorageUnavailableError
from cleanplate.jobs.sqlite import SqliteQueue
from cleanplate.jobs.sweep import Sweeper
from cleanplate.jobs.worker import Worker, stop_on_signals
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.media import Media
from cleanplate.pipeline.approvals import Approvals
from cleanplate.pipeline.batch import BatchPredictor
from cleanplate.pipeline.job import CopyMaker
from cleanplate.pipeline.leftovers import Leftovers
from cleanplate.pipeline.places import Places
from cleanplate.pipeline.predict import Predictor
from cleanplate.pipeline.proposals import Proposer
from cleanplate.pipeline.publish import Publisher
from cleanplate.pipeline.turns import Conversations
from cleanplate.pipeline.wishes import kinds_from_text
from cleanplate.settings import Settings
from cleanplate.storage.ledger import Ledger
from cleanplate.storage.names import Names, load_or_create_key

if TYPE_CHECKING:
    from cleanplate.engines.embedding_redis import EmbeddingRedis

_FOLLOWING: Final = 10
"""Among so many tasks after the opened one, those are looked for that nobody has annotated."""

_log = structlog.get_logger()


class Application:
    """Everything one process is made of. A part is made when it is first asked for, and then kept."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    # Who and where

    @cached_property
    def client(self) -> LabelStudioClient:
        """Label Studio. Raises SettingsError if its address or the token is not set."""
        self.settings.require_label_studio()
        return LabelStudioClient(self.settings.label_studio_url, self.settings.label_studio_api_key.get_secret_value())

    @cached_property
    def media(self) -> Media:
        """Where images come from."""
        return Media(
            self.client, allowed_origins=self.settings.allowed_origins, max_bytes=self.settings.max_image_bytes
        )

    @property
    def basic_auth(self) -> tuple[str, str]:
        """User and password Label Studio gives to the ML backend; both empty if it needs none."""
        return self.settings.basic_auth_user, self.settings.basic_auth_password.get_secret_value()

    @cached_property
    def webhook_secret(self) -> str:
        """What a webhook must carry: the setting, or one that was made once and is kept in the data directory."""
        given = self.settings.webhook_secret.get_secret_value()
        return given or load_or_create_key(self._secrets_dir / "webhook.key").hex()

    @cached_property
    def approval(self) -> Approval:
        """What counts as approved. Raises SettingsError if the setting says something else."""
        try:
            return Approval.from_text(self.settings.approval)
        except PolicyError as error:
            raise SettingsError(f"CLEANPLATE_APPROVAL: {error}") from error

    # What is kept

    @cached_property
    def queue(self) -> SqliteQueue:
        """The jobs."""
        return SqliteQueue(
            self._data_dir / "jobs.sqlite3", lease_s=self.settings.lease_s, max_attempts=self.settings.max_attempts
        )

    @cached_property
    def ledger(self) -> Ledger:
        """The copies and their certificates."""
        return Ledger(self._data_dir / "ledger.sqlite3")

    @cached_property
    def names(self) -> Names:
        """What copies and their files are called."""
        return Names(load_or_create_key(self._secrets_dir / "names.key"))

    @cached_property
    def embedding_disk(self) -> EmbeddingDisk:
        """Prepared images, shared with the other processes of the data directory."""
        return EmbeddingDisk(
            self._data_dir / "embeddings", key=self._embedding_key, max_bytes=self.settings.embedding_disk_bytes
        )

    @cached_property
    def embedding_redis(self) -> "EmbeddingRedis | None":
        """Prepared images, shared with other machines; None if no Redis is set.

        Raises:
            SettingsError: Its address cannot be read, or the library is not installed.
        """
        url = self.settings.redis_url.get_secret_value()
        if not url:
            return None
        try:
            from cleanplate.engines.embedding_redis import EmbeddingRedis  # noqa: PLC0415  (an extra)
        except ModuleNotFoundError as error:
            raise SettingsError(f"CLEANPLATE_REDIS_URL needs {error.name}: pip install 'cleanplate[redis]'") from error
        try:
            return EmbeddingRedis(url, key=self._embedding_key, max_bytes=self.settings.embedding_redis_bytes)
        except ValueError:
            # Not chained: its message may quote the password.
            message = "CLEANPLATE_REDIS_URL cannot be read: it is redis://[user:password@]host:port/number"
        raise SettingsError(message)

    @cached_property
    def shelf(self) -> Shelf:
        """Where prepared images are kept outside the process."""
        return EmbeddingShelves(self.embedding_disk, *([self.embedding_redis] if self.embedding_redis else []))

    # What does the work

    @cached_property
    def segmenter(self) -> Segmenter:
        """Answers clicks. Raises EngineError if it cannot be loaded."""
        return segmenter_for(self.settings)

    @cached_property
    def inpainter(self) -> Inpainter:
        """Fills what is removed. Raises EngineError if it cannot be loaded."""
        return inpainter_for(self.settings)

    @cached_property
    def detector(self) -> Detector | None:
        """Finds what nobody labelled. Raises EngineError if it cannot be loaded. None if there is to be none."""
        return detector_for(self.settings)

    @property
    def limits(self) -> ImageLimits:
        """Which images are refused for their size."""
        return limits_for(self.settings)

    @cached_property
    def approvals(self) -> Approvals:
        """What was approved, as jobs."""
        # What a detector finds changes what may be copied into a hole.
        engines = [engine.version for engine in (self.inpainter, self.detector) if engine is not None]
        return Approvals(
            self.client, approval=self.approval, engine="; ".join(engines), projects=self.settings.projects
        )

    @cached_property
    def predictor(self) -> Predictor:
        """Turns clicks into masks."""
        return Predictor(
            segmenter=self.segmenter,
            media=self.media,
            read_image=self._read_image,
            embeddings=EmbeddingCache(self.settings.embedding_cache_bytes, self.shelf),
            conversations=Conversations(),
            label_studio_url=self.client.url,
            following=lambda project_id, task_id: self.client.tasks_after(project_id, task_id, count=_FOLLOWING),
        )

    @cached_property
    def erasure_watch(self) -> ErasureWatch:
        """Has the predictor forget what another process erased, once it is started."""
        return ErasureWatch(self)

    @cached_property
    def proposer(self) -> Proposer:
        """Makes masks that nobody clicked for."""
        return Proposer(
            segmenter=self.segmenter,
            detector=lambda: self.detector,
            embedding=self.predictor.embedding,
            image=self._image,
            label_studio_url=self.client.url,
            max_pixels=self.settings.max_image_pixels,
        )

    @cached_property
    def batch_predictor(self) -> BatchPredictor:
        """Answers for many tasks at once. Raises SettingsError if the setting of what to detect makes no sense."""
        try:
            kinds = kinds_from_text(self.settings.batch_detect)
        except PolicyError as error:
            raise SettingsError(f"CLEANPLATE_BATCH_DETECT: {error}") from error
        return BatchPredictor(self.proposer, kinds=kinds)

    @cached_property
    def places(self) -> Places:
        """Where the files of copies go."""
        return Places(self.client, self.media, local_root=self.settings.local_files_root)

    @cached_property
    def publisher(self) -> Publisher:
        """Makes the tasks of copies."""
        return Publisher(self.client, self.places, self.ledger)

    @cached_property
    def copy_maker(self) -> CopyMaker:
        """Makes and publishes the copy that a job asks for."""
        return CopyMaker(
            client=self.client,
            media=self.media,
            approvals=self.approvals,
            inpainter=self.inpainter,
            detector=self.detector,
            limits=self.limits,
            names=self.names,
            places=self.places,
            publisher=self.publisher,
            ledger=self.ledger,
        )

    @cached_property
    def leftovers(self) -> Leftovers:
        """Takes away the files of copies that were never published."""
        return Leftovers(self.client, self.places, self.ledger, self.queue, interval_s=self.settings.sweep_interval_s)

    def work(self, ready: Callable[[], None]) -> None:
        """Sweep, tidy up, and do one job after the other, until the process is told to stop (SIGTERM, or Ctrl-C).

        Args:
            ready: called when everything that the work needs is there.

        Raises:
            CleanplateError: The settings, the data directory or an engine do not allow any work. A Label Studio that
                does not answer is waited for.
        """
        sweeper = Sweeper(self.queue, self.approvals, interval_s=self.settings.sweep_interval_s)
        worker = Worker(self.queue, self.copy_maker, lease_s=self.settings.lease_s)
        leftovers = self.leftovers
        stop = threading.Event()
        stop_on_signals(stop)
        _log.info("working")
        ready()
        beside = [
            threading.Thread(target=sweeper.run, args=(stop,), name="sweeper"),
            threading.Thread(target=leftovers.run, args=(stop,), name="tidier"),
        ]
        for thread in beside:
            thread.start()
        try:
            worker.run(stop)
        finally:
            stop.set()
            for thread in beside:
                thread.join()
        _log.info("stopped working")

    def close(self) -> None:
        """Let go of what runs behind the parts that were made."""
        watch = vars(self).get("erasure_watch")
        if watch is not None:
            watch.close()
        predictor = vars(self).get("predictor")
        if predictor is not None:
            predictor.close()
        shared = vars(self).get("embedding_redis")
        if shared is not None:
            shared.close()

    def _image(self, image: ImageIdentity) -> RgbImage:
        return self._read_image(self.media.fetch(image.url, project_id=image.project_id, task_id=image.task_id))

    def _read_image(self, content: bytes) -> RgbImage:
        return picture_from_bytes(content, self.limits).image

    @cached_property
    def _embedding_key(self) -> bytes:
        """What names and seals embeddings: one key for all shelves, so that what is on one is known on the other."""
        secret = self.settings.embedding_secret.get_secret_value()
        return key_from_secret(secret) if secret else load_or_create_key(self._secrets_dir / "embeddings.key")

    @cached_property
    def _data_dir(self) -> Path:
        return _private_folder(self.settings.data_dir)

    @cached_property
    def _secrets_dir(self) -> Path:
        return _private_folder(self._data_dir / "secrets")


def _private_folder(path: Path) -> Path:
    """The folder, made if need be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailableError(
            f"{path} cannot be made ({error.strerror}): set CLEANPLATE_DATA_DIR to a folder this user may write to"
        ) from error
    return path
