"""What stored embeddings are called, and the seal by which ours are known. Nothing here can be made without the key."""

import hashlib
import hmac
from typing import Final

from cleanplate.engines.embeddings import ImageIdentity

SEAL_BYTES: Final = 32

_NAME_BYTES: Final = 20
_SPACE_BYTES: Final = 8


def key_from_secret(secret: str) -> bytes:
    """The key that a person's secret stands for: the same on every machine, and slow to guess."""
    return hashlib.scrypt(secret.encode(), salt=b"cleanplate embeddings", n=2**14, r=8, p=1, dklen=32)


class EmbeddingNames:
    """Names made with a secret key: who lacks it cannot tell whether a known image was here, nor make a seal."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def space(self) -> str:
        """What all names of this key have in common, and those of no other key."""
        return hashlib.blake2b(key=self._key, digest_size=_SPACE_BYTES, person=b"space").hexdigest()

    def of_content(self, data: bytes) -> str:
        """What the bytes of an image are called."""
        return hashlib.blake2b(data, key=self._key, digest_size=_NAME_BYTES).hexdigest()

    def of_image(self, image: ImageIdentity) -> str:
        """What an image of a task is called, whatever it shows."""
        facts = (image.label_studio_url, str(image.project_id), str(image.task_id), image.url)
        # Lengths before the facts: no two images read the same.
        message = "".join(f"{len(fact)}:{fact}" for fact in facts)
        return hashlib.blake2b(message.encode(), key=self._key, digest_size=_NAME_BYTES).hexdigest()

    def seal(self, name: str, packed: bytes) -> bytes:
        """What follows a packed embedding of this name."""
        digest = hashlib.blake2b(key=self._key, digest_size=SEAL_BYTES, person=b"embedding")
        digest.update(f"{len(name)}:{name}".encode())
        digest.update(packed)
        return digest.digest()

    def unsealed(self, name: str, sealed: bytes) -> bytes | None:
        """What was sealed for this name; None if it is damaged, cut, swapped or not ours."""
        packed = sealed[:-SEAL_BYTES]
        whole = hmac.compare_digest(self.seal(name, packed), sealed[-SEAL_BYTES:])
        return packed if whole else None


def embedding_name(content: str, version: str) -> str:
    """What the embedding of a content by one version of a segmenter is called; it begins with the content."""
    return f"{content}.{version_name(version)}"


def version_name(version: str) -> str:
    """A version in letters and digits."""
    return hashlib.sha256(version.encode()).hexdigest()[: 2 * _NAME_BYTES]
