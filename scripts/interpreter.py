"""Makes sure a script runs under a Python that is new enough.

The one file here that an older Python has to be able to read (3.6: f-strings, nothing newer).
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
NAMES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3")


def require() -> None:
    """Return if this Python will do; else start again under one that does, or stop with a sentence."""
    if sys.platform == "win32":
        sys.exit("cleanplate runs on Linux and macOS. On Windows, use WSL: https://learn.microsoft.com/windows/wsl/")
    if sys.version_info >= OLDEST:
        return
    for name in NAMES:
        path = shutil.which(name)
        if path and _is_new_enough(path):
            os.execv(path, [path, *sys.argv])  # noqa: S606 - the same script again
    sys.exit(
        f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed; this is {sys.version.split()[0]}, and no newer one was "
        "found on PATH.\nInstall one (Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python) "
        "and start again."
    )


def _is_new_enough(path: str) -> bool:
    test = f"import sys; sys.exit(sys.version_info < {OLDEST!r})"
    return subprocess.call([path, "-c", test], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
