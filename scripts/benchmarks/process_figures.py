"""What Linux tells about running processes: their memory and their time on the processor. Needs nothing installed."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
CLEAR_PEAK: Final = "5"
KIB: Final = 1024
# Of what follows a process's name in /proc/…/stat: who started it, and its time in programs and in the system.
PARENT: Final = 1
TIMES: Final = slice(11, 13)


def restart_peak(process: int | str = "self") -> int:
    """Forget a process's peak so far; how much memory it holds now, in bytes."""
    (PROC / str(process) / "clear_refs").write_text(CLEAR_PEAK, encoding="ascii")
    return _memory(process, "VmRSS")


def peak_bytes(process: int | str = "self") -> int:
    """The most memory that a process has held."""
    return _memory(process, "VmHWM")


def family(process: int) -> list[int]:
    """A process and all that it started, directly or not."""
    parents = {child: int(fields[PARENT]) for child, fields in _all_stats()}
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def family_peak_bytes(process: int) -> int:
    """The sum of the peaks of a process and of all that it started and that still run."""
    total = 0
    for one in family(process):
        with suppress(OSError):
            total += peak_bytes(one)
    return total


def restart_family_peak(process: int) -> None:
    """Forget the peaks so far of a process and of all that it started."""
    for one in family(process):
        with suppress(OSError):
            restart_peak(one)


def family_cpu_s(process: int) -> float:
    """The processor time of a process and of all that it started and that still run."""
    ours = set(family(process))
    ticks = sum(sum(map(int, fields[TIMES])) for one, fields in _all_stats() if one in ours)
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory(process: int | str, field: str) -> int:
    lines = (PROC / str(process) / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith(field))


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for folder in PROC.glob("[0-9]*"):
        # A process may end while it is looked at.
        with suppress(OSError):
            line = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            yield int(folder.name), line.rpartition(")")[2].split()
