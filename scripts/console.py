"""What the scripts say to the person who started them."""

import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_S: Final = 0.1
QUICK_S: Final = 1.0
LOG_LINES: Final = 12
LOG_COLUMNS: Final = 160


class ScriptError(Exception):
    """A script cannot go on: what failed, what to do about it, and the last lines of a log if there is one."""

    def __init__(self, message: str, *, remedy: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.log = log


class Step:
    """Something that takes a while; `detail` says what it is busy with just now."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.detail = ""
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._started


class Console:
    """Prints lines, and below them, on a terminal, what is going on.

    Steps may run side by side in threads. Without a terminal each step is one line when it starts and one when it ends.
    """

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self.is_terminal and "NO_COLOR" not in os.environ
        self._unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
        self._lock = threading.RLock()
        self._steps: list[Step] = []
        self._painter: threading.Thread | None = None

    def line(self, text: str = "") -> None:
        """Print one line above the running steps."""
        with self._lock:
            self._wipe()
            print(text, flush=True)

    def fail(self, error: ScriptError) -> None:
        """Print what failed, the end of its log, and the remedy."""
        lines = [self.red(f"{self._sign('✗', 'x')} {error}")]
        if error.log is not None:
            lines += ["", *(f"    {self.dim(text)}" for text in last_lines(error.log)), ""]
            lines.append(f"  The whole log: {shown_path(error.log)}")
        if error.remedy:
            lines.append(textwrap.indent(error.remedy, "  "))
        for text in lines:
            self.line(text)

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """Show *text* with a clock until the block ends."""
        step = Step(text)
        with self._lock:
            self._steps.append(step)
        if self.is_terminal:
            self._start_painter()
        else:
            self.line(f"{text} …")
        succeeded = False
        try:
            yield step
            succeeded = True
        finally:
            with self._lock:
                self._steps.remove(step)
                self._wipe()
            if succeeded and (self.is_terminal or step.elapsed_s >= QUICK_S):
                self.line(f"{self.green(self._sign('✓', 'ok'))} {text}{self._time_taken(step)}")

    def bold(self, text: str) -> str:
        """The text in bold, where the terminal can do that."""
        return self._styled(text, "1")

    def dim(self, text: str) -> str:
        """The text in grey."""
        return self._styled(text, "2")

    def green(self, text: str) -> str:
        """The text in green."""
        return self._styled(text, "32")

    def red(self, text: str) -> str:
        """The text in red."""
        return self._styled(text, "31")

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def _sign(self, sign: str, plain: str) -> str:
        return sign if self._unicode else plain

    def _time_taken(self, step: Step) -> str:
        return self.dim(f"  {clock(step.elapsed_s)}") if step.elapsed_s >= QUICK_S else ""

    def _start_painter(self) -> None:
        with self._lock:
            if self._painter is None or not self._painter.is_alive():
                self._painter = threading.Thread(target=self._paint, daemon=True)
                self._painter.start()

    def _paint(self) -> None:
        frames = FRAMES if self._unicode else "|/-\\"
        count = 0
        while True:
            with self._lock:
                if not self._steps:
                    self._painter = None
                    return
                width = shutil.get_terminal_size().columns - 1
                text = f"{frames[count % len(frames)]} {'  ·  '.join(map(_status, self._steps))}"
                sys.stdout.write(f"\r\x1b[2K{text[:width]}")
                sys.stdout.flush()
            count += 1
            time.sleep(FRAME_S)

    def _wipe(self) -> None:
        if self.is_terminal:
            sys.stdout.write("\r\x1b[2K")


def _status(step: Step) -> str:
    detail = f": {step.detail}" if step.detail else ""
    return f"{step.text} {clock(step.elapsed_s)}{detail}"


def clock(duration_s: float) -> str:
    """A duration as minutes and seconds: `0:07`, `12:30`."""
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes}:{seconds:02}"


def last_lines(log: Path) -> Sequence[str]:
    """The end of a log, without empty lines and with long ones cut; nothing if there is no log."""
    if not log.is_file():
        return ()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line[:LOG_COLUMNS] for line in lines if line.strip())[-LOG_LINES:]


def shown_path(path: Path) -> str:
    """A path as a person would type it from where they are."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
