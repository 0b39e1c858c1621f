"""A real Redis, of the machine's own program, that only this process reaches."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest
import redis

_START_S = 20


class RedisServer:
    """A Redis on a Unix socket; it keeps nothing when it ends. It can be stopped and started again."""

    def __init__(self, *options: str) -> None:
        self._options = options
        # Not pytest's folder: the path of a socket may have about 100 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._folder}/socket"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed; Debian's package redis-server has it")
        socket = self._folder / "socket"
        where = ["--port", "0", "--unixsocket", str(socket), "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            [program, *where, "--save", "", "--appendonly", "no", *self._options],
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_S
        while not socket.is_socket():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not begin"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        (self._folder / "socket").unlink(missing_ok=True)

    def client(self) -> redis.Redis:
        """A connection that tests look and tamper with; the caller closes it."""
        return redis.Redis.from_url(self.url)
