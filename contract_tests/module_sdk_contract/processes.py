"""Worker processes, as a test holds them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from module_sdk_contract.violations import ContractViolation, Violation


def environment(folder: Path | None = None) -> dict[str, str]:
    """For a new interpreter: it imports what this one can, as with `multiprocessing`, and from `folder` first."""
    places = [folder] if folder else []
    places += [Path(path).absolute() for path in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}


class WorkerProcess:
    """A process with a manager of its own on the same store (see `worker.py`). Leaving the `with` block ends it."""

    def __init__(self, opener: str, url: str, namespace: str, clause: str, clock: str | None = None) -> None:
        self.clause = clause
        self.process = subprocess.Popen(
            [sys.executable, "-m", "module_sdk_contract.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.write({"opener": opener, "url": url, "namespace": namespace, "clock": clock})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdout is not None
        self.end_input()
        try:
            self.process.wait(0 if error else 10)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process.stdout.close()

    def end_input(self) -> None:
        """Let the process end by itself, and do not wait for it."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def write(self, line: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(line)}\n")
        self.process.stdin.flush()

    def start(self, name: str, **arguments: Any) -> None:
        """Begin a command; `read` its answer later."""
        self.write({"name": name, "arguments": arguments})

    def read(self) -> Any:
        """The next line, or `None` when the process has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def answer(self) -> Any:
        """The answer of the command under way; its failure is a violation."""
        line = self.read()
        if not isinstance(line, dict) or "error" in line:
            found = "the process ended" if line is None else line["error"]
            raise ContractViolation([Violation(self.clause, "a command of another process", "an answer", found)])
        return line["answer"]

    def ask(self, name: str, **arguments: Any) -> Any:
        self.start(name, **arguments)
        return self.answer()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait()
