"""What copies and their files are called: nothing that tells of the original, and the same every time."""

import hmac
import os
import secrets
from base64 import b32encode
from contextlib import suppress
from pathlib import Path
from typing import Final

from cleanplate.errors import StorageError, StorageUnavailableError

KEY_BYTES: Final = 32

_NAME_BYTES: Final = 20
_PRIVATE: Final = 0o600


class Names:
    """Names made with a secret key (HMAC-SHA-256, RFC 2104): who lacks it cannot tell what a name was made from."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a key for names has at least {KEY_BYTES} bytes")
        self._key = key

    def copy_id(self, *, label_studio_url: str, project_id: int, task_id: int, annotation_id: int) -> str:
        """What the copy of an annotation is called for as long as it lives: 32 letters and digits."""
        return self._name("copy", label_studio_url, str(project_id), str(task_id), str(annotation_id))

    def object_name(self, job_key: str, extension: str) -> str:
        """The file name for what a job makes.

        Args:
            job_key: names everything that the file depends on.
            extension: with its dot, such as `.png`.
        """
        return f"{self._name('object', job_key)}{extension}"

    def _name(self, kind: str, *facts: str) -> str:
        # Lengths before the facts: no two lists of facts read the same.
        message = "".join(f"{len(fact)}:{fact}" for fact in (kind, *facts))
        digest = hmac.digest(self._key, message.encode(), "sha256")
        return b32encode(digest[:_NAME_BYTES]).decode().lower()


def load_or_create_key(path: Path) -> bytes:
    """Read a key; make it if there is none. Of several processes that start at once, all get the same.

    Raises:
        StorageError: The file holds no key.
        StorageUnavailableError: It can be neither read nor made now.
    """
    try:
        if not path.exists():
            _create(path)
        key = path.read_bytes()
    except OSError as error:
        raise StorageUnavailableError(f"the key {path.name} cannot be read or made: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise StorageError(f"{path.name} has {len(key)} bytes instead of {KEY_BYTES}: put the right file back")
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster; its key counts
            os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
