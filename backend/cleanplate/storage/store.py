from collections.abc import Iterator
from typing import Protocol


class ObjectStore(Protocol):
    """Keeps named bytes. Keys are relative, with forward slashes; nothing is ever half visible or overwritten."""

    def get(self, key: str) -> bytes | None:
        """The bytes of an object; None if there is none.

        Raises:
            StorageKeyError: The key leads out of the store.
            StorageUnavailableError: The store cannot be read now.
        """
        ...

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Store an object; True if it is new, False if the same bytes are there already.

        Raises:
            StorageKeyError: The key leads out of the store.
            StorageConflictError: Other bytes are there; they stay.
            StorageUnavailableError: It is full, read-only or out of reach; nothing was stored.
        """
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with *prefix*, sorted."""
        ...

    def delete(self, key: str) -> bool:
        """Remove an object; whether there was one."""
        ...
