"""A process that is asked in lines of JSON and answers in lines of JSON: what benchmarks measure runs in one."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class LineProcess:
    """A running one. It says something once when it is ready, and then once for everything it is asked."""

    def __init__(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit(f"{name} cannot be talked to")
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self._answer()

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        print(json.dumps(question), file=self._questions, flush=True)
        return self._answer()

    def stop(self) -> None:
        """End the process."""
        self._questions.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self._process.wait()}: run it alone to see why")
        answer: dict[str, Any] = json.loads(line)
        return answer
