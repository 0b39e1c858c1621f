"""Runs one command and makes sure that it ends when the script that started it is gone.

The script holds the other end of this process's standard input. However the script ends, be it by SIGKILL, the
system closes that end; then everything in this process's group is asked to stop, and a little later made to.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 10


def main() -> int:
    """`keeper.py COMMAND…`: the exit status is the command's."""
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    for ignored in (signal.SIGTERM, signal.SIGINT):
        # The command, which is in the same group, is told as well; its keeper waits for its end.
        signal.signal(ignored, lambda *_: None)
    threading.Thread(target=_stop_when_abandoned, daemon=True).start()
    status = command.wait()
    os.killpg(0, signal.SIGTERM)  # what the command started and left behind
    return status if status >= 0 else 128 - status


def _stop_when_abandoned() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the other end is closed; nothing is ever written
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
