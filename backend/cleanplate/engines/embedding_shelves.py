from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cleanplate.engines.embeddings import ImageIdentity, Shelf, Shown
from cleanplate.errors import StorageUnavailableError


class EmbeddingShelves:
    """Several shelves as one, the nearest first. What one of them has, the others get when it is asked for.

    Args:
        shelves: they give the same content the same name.
    """

    def __init__(self, *shelves: Shelf) -> None:
        self._shelves = shelves

    def content_of(self, data: bytes) -> str:
        """What the bytes of an image are called on all of them."""
        return self._shelves[0].content_of(data)

    def shown(self, image: ImageIdentity) -> Shown | None:
        """The content an image had when anybody last looked at it; now all of them know."""
        answers = [shelf.shown(image) for shelf in self._shelves]
        newest = max((answer for answer in answers if answer is not None), key=lambda shown: shown.at, default=None)
        for shelf, answer in zip(self._shelves, answers, strict=True):
            if newest is not None and answer != newest:
                shelf.note(image, newest.content, at=newest.at)
        return newest

    def note(self, image: ImageIdentity, content: str, *, at: float) -> None:
        """Note which content an image was seen to have."""
        for shelf in self._shelves:
            shelf.note(image, content, at=at)

    @contextmanager
    def alone(self, content: str, version: str) -> Iterator[None]:
        """Wait until nobody prepares this content in reach of any shelf, and keep others waiting meanwhile."""
        with ExitStack() as stack:
            for shelf in self._shelves:
                stack.enter_context(shelf.alone(content, version))
            yield

    def holds(self, content: str, version: str) -> bool:
        """Whether any has a packed embedding."""
        return any(shelf.holds(content, version) for shelf in self._shelves)

    def take(self, content: str, version: str) -> bytes | None:
        """A packed embedding from the nearest shelf that has it whole; then all have it."""
        lacking: list[Shelf] = []
        for number, shelf in enumerate(self._shelves):
            packed = shelf.take(content, version)
            if packed is None:
                lacking.append(shelf)
                continue
            # Whoever stored it here may not have reached the farther ones.
            lacking += [farther for farther in self._shelves[number + 1 :] if not farther.holds(content, version)]
            for other in lacking:
                other.put(content, version, packed)
            return packed
        return None

    def put(self, content: str, version: str, packed: bytes) -> None:
        """Keep a packed embedding on all of them."""
        for shelf in self._shelves:
            shelf.put(content, version, packed)

    def drop(self, content: str, version: str) -> None:
        """Let go of a packed embedding."""
        for shelf in self._shelves:
            shelf.drop(content, version)

    def purge(self, *, project_id: int, task_id: int | None = None) -> int:
        """Forget the images of a task, or of a whole project, on all of them; how many there were on the fullest.

        Raises:
            StorageUnavailableError: Some of it may still be there. The other shelves were purged all the same.
        """
        counts, errors = [0], []
        for shelf in self._shelves:
            try:
                counts.append(shelf.purge(project_id=project_id, task_id=task_id))
            except StorageUnavailableError as error:
                errors.append(error)
        if errors:
            raise StorageUnavailableError("; ".join(map(str, errors)))
        return max(counts)
