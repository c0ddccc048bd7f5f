"""Worker processes, as tests use them."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from module_sdk_contract.processes.worker_factory import receive, send
from module_sdk_contract.violations import ContractViolation, Violation

STANDARD_ERROR: Final = 2
PATIENCE_SECONDS: Final = 10
"""The longest time that a worker may take to end by itself."""


def import_paths() -> list[str]:
    return [str(Path(path).absolute()) for path in sys.path]


def environment(folder: Path | None = None) -> dict[str, str]:
    """Return the environment of a new interpreter with the import paths of this one, and `folder` before them."""
    paths = [str(folder)] if folder else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths + import_paths())}


def modules_of(manager: object) -> list[str]:
    """Return the modules of the packages of the manager's classes that are loaded in this process.

    A process that opens such a manager would load them as well.
    """
    packages = {kind.__module__.rpartition(".")[0] for kind in type(manager).__mro__} - {""}
    return [name for name in sys.modules if name.rpartition(".")[0] in packages]


class WorkerFactory:
    """The process that forks workers (see `worker_factory.py`). It ends with this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection, other_end = socket.socketpair()
        with other_end:
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-m", "module_sdk_contract.processes.worker_factory", str(other_end.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[other_end.fileno()],
                env=environment(),
            )
        atexit.register(self.end)

    def end(self) -> None:
        self.connection.close()
        # Closing the connection may not suffice: a forked child of this process may still have this end open.
        self.process.kill()
        self.process.wait()

    def fork(self, modules: Iterable[str], *streams: int) -> int:
        """Start a worker with these three streams and the modules imported, and return its process id."""
        request = {
            "modules": list(modules),
            "environment": dict(os.environ),
            "path": import_paths(),
            "folder": str(Path.cwd()),
        }
        return int(self.ask(request, streams))

    def ends_within(self, worker: int, seconds: float) -> bool:
        """Return whether the worker ends within that time. Never call this again after it returned `True`."""
        return bool(self.ask({"worker": worker, "seconds": seconds}))

    def ask(self, request: dict[str, Any], streams: Iterable[int] = ()) -> Any:
        with self.lock:
            send(self.connection, request, streams)
            return receive(self.connection)[0]


factories: Final[dict[int, WorkerFactory]] = {}
"""The worker factory of this process, by process id: a forked process must not share its parent's."""


def worker_factory() -> WorkerFactory:
    """Return the worker factory of this process; start one if there is none or it has ended."""
    existing = factories.get(os.getpid())
    if existing is None or existing.process.poll() is not None:
        existing = factories[os.getpid()] = WorkerFactory()
    return existing


class WorkerProcess:
    """A process with its own manager on the same store (see `worker.py`). Leaving the `with` block ends it."""

    def __init__(
        self,
        opener: str,
        url: str,
        namespace: str,
        clause: str,
        clock: str | None = None,
        *,
        modules: Iterable[str] = (),
    ) -> None:
        """Start the process.

        `modules` are imported in the factory before the fork. `clock` is the initial time of a settable clock; without
        it the manager has its usual clock.
        """
        self.clause = clause
        self.ended = False
        self.factory = worker_factory()
        worker_reads, writing = os.pipe()
        reading, worker_writes = os.pipe()
        self.commands, self.answers = os.fdopen(writing, "w"), os.fdopen(reading)
        try:
            self.id = self.factory.fork(modules, worker_reads, worker_writes, STANDARD_ERROR)
        finally:
            os.close(worker_reads)
            os.close(worker_writes)
        self.write({"opener": opener, "url": url, "namespace": namespace, "clock": clock})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_input()
        if not self.has_ended(within_seconds=0 if error else PATIENCE_SECONDS):
            self.kill()
        self.answers.close()

    def end_input(self) -> None:
        """Close the input, at which the process ends by itself. Do not wait for it."""
        with contextlib.suppress(BrokenPipeError):
            self.commands.close()

    def has_ended(self, *, within_seconds: float) -> bool:
        """Return whether the process ends within that time."""
        self.ended = self.ended or self.factory.ends_within(self.id, within_seconds)
        return self.ended

    def write(self, line: object) -> None:
        self.commands.write(f"{json.dumps(line)}\n")
        self.commands.flush()

    def start(self, name: str, **arguments: Any) -> None:
        """Send a command without waiting for its answer, which `answer` or `read` returns later."""
        self.write({"name": name, "arguments": arguments})

    def read(self) -> Any:
        """Return the next line, decoded, or `None` if the process has ended."""
        line = self.answers.readline()
        return json.loads(line) if line.endswith("\n") else None

    def answer(self) -> Any:
        """Return the answer of the command in progress. Raise `ContractViolation` if the command failed."""
        line = self.read()
        if not isinstance(line, dict) or "error" in line:
            found = "the process ended" if line is None else line["error"]
            raise ContractViolation([Violation(self.clause, "a command of another process", "an answer", found)])
        return line["answer"]

    def ask(self, name: str, **arguments: Any) -> Any:
        """Send a command and return its answer."""
        self.start(name, **arguments)
        return self.answer()

    def kill(self) -> None:
        """Kill the process with SIGKILL and wait for its end."""
        # The factory reaps a worker only in `ends_within`, so until then no other process can have its id.
        if not self.ended:
            os.kill(self.id, signal.SIGKILL)
            self.has_ended(within_seconds=PATIENCE_SECONDS)
