"""What one start of the product leaves for the next: its account, its ports, its project."""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from console import ScriptError, shown_path

EMAIL: Final = "admin@example.com"
LABEL_STUDIO_PORT: Final = 8080
BACKEND_PORT: Final = 9090
PORTS_TRIED: Final = 50


@dataclass(frozen=True)
class Memory:
    """What is kept in the data directory, readable by its owner only."""

    email: str
    password: str
    api_key: str
    label_studio_port: int | None = None
    backend_port: int | None = None
    project: int | None = None
    has_samples: bool = False

    @classmethod
    def fresh(cls) -> "Memory":
        """A new account with secrets nobody has seen."""
        return cls(email=EMAIL, password=secrets.token_urlsafe(9), api_key=secrets.token_hex(20))


class MemoryFile:
    """The file in which it is kept."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "secrets" / "scripts-run.json"

    def read(self) -> Memory:
        """What the last start left; a fresh account if there was none."""
        if not self._path.exists():
            return Memory.fresh()
        try:
            return Memory(**json.loads(self._path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ScriptError(
                f"{shown_path(self._path)} cannot be read: {error}",
                remedy="Mend it, or start afresh in another folder with --data-dir.",
            ) from error

    def write(self, memory: Memory) -> None:
        """Keep it, whole or not at all."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(memory), indent=1), encoding="utf-8")
        draft.replace(self._path)

    def update(self, memory: Memory, **changes: Any) -> Memory:
        """Keep it with these changes, and return it."""
        changed = replace(memory, **changes)
        self.write(changed)
        return changed


@contextmanager
def only_one_at_a_time(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; two products in one directory would share a database.

    Raises:
        ScriptError: Another start holds it.
    """
    # Label Studio keeps the originals in there.
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / "run.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise ScriptError(
                f"the product is already running in {shown_path(data_dir)} (process {lock.read().strip()})",
                remedy="Use that one or stop it with Ctrl-C; a second one needs its own --data-dir.",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def choose_port(*, option: str, asked: int | None, remembered: int | None, usual: int) -> int:
    """The port asked for; else that of the last start; else the usual one or the next that is free.

    The remembered port is never exchanged for another by itself: bookmarks and the addresses of images hold it.

    Raises:
        ScriptError: The port is taken.
    """
    fixed = asked or remembered
    if fixed is None:
        return next(port for port in range(usual, usual + PORTS_TRIED) if _is_free(port))
    if not _is_free(fixed):
        raise ScriptError(
            f"port {fixed} is taken by another program",
            remedy=f"Stop that program, or choose another port: {option} {fixed + 1}",
        )
    return fixed


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A port that was closed a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True
