"""Worker processes, as a test holds them."""

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
"""How long a worker may take to end by itself."""


def import_paths() -> list[str]:
    return [str(Path(path).absolute()) for path in sys.path]


def environment(folder: Path | None = None) -> dict[str, str]:
    """For a new interpreter: it imports what this one can, as with `multiprocessing`, and from `folder` first."""
    places = [str(folder)] if folder else []
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places + import_paths())}


def modules_of(manager: object) -> list[str]:
    """The modules loaded here from the packages of the manager's classes: a process that opens one loads them too."""
    packages = {kind.__module__.rpartition(".")[0] for kind in type(manager).__mro__} - {""}
    return [name for name in sys.modules if name.rpartition(".")[0] in packages]


class Nursery:
    """The process that forks workers (see `worker_factory.py`). It ends when this process does."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.link, other_end = socket.socketpair()
        with other_end:
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-m", "module_sdk_contract.processes.worker_factory", str(other_end.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[other_end.fileno()],
                env=environment(),
            )
        atexit.register(self.end)

    def end(self) -> None:
        self.link.close()
        # A forked child of this process may keep the other end of the link open.
        self.process.kill()
        self.process.wait()

    def fork(self, modules: Iterable[str], *streams: int) -> int:
        """The process id of a new worker with these three streams, in which the modules are imported."""
        request = {
            "modules": list(modules),
            "environment": dict(os.environ),
            "path": import_paths(),
            "folder": str(Path.cwd()),
        }
        return int(self.ask(request, streams))

    def ends_within(self, worker: int, seconds: float) -> bool:
        """Whether the worker has ended by then; it is asked until it has, and not again."""
        return bool(self.ask({"worker": worker, "seconds": seconds}))

    def ask(self, request: dict[str, Any], streams: Iterable[int] = ()) -> Any:
        with self.lock:
            send(self.link, request, streams)
            return receive(self.link)[0]


nurseries: Final[dict[int, Nursery]] = {}
"""The nursery of this process, by process id: a forked process must not share its parent's."""


def nursery() -> Nursery:
    existing = nurseries.get(os.getpid())
    if existing is None or existing.process.poll() is not None:
        existing = nurseries[os.getpid()] = Nursery()
    return existing


class WorkerProcess:
    """A process with a manager of its own on the same store (see `worker.py`). Leaving the `with` block ends it."""

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
        """`modules` are loaded before the process begins."""
        self.clause = clause
        self.ended = False
        self.nursery = nursery()
        worker_reads, writing = os.pipe()
        reading, worker_writes = os.pipe()
        self.commands, self.answers = os.fdopen(writing, "w"), os.fdopen(reading)
        try:
            self.id = self.nursery.fork(modules, worker_reads, worker_writes, STANDARD_ERROR)
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
        """Let the process end by itself, and do not wait for it."""
        with contextlib.suppress(BrokenPipeError):
            self.commands.close()

    def has_ended(self, *, within_seconds: float) -> bool:
        self.ended = self.ended or self.nursery.ends_within(self.id, within_seconds)
        return self.ended

    def write(self, line: object) -> None:
        self.commands.write(f"{json.dumps(line)}\n")
        self.commands.flush()

    def start(self, name: str, **arguments: Any) -> None:
        """Begin a command; `read` its answer later."""
        self.write({"name": name, "arguments": arguments})

    def read(self) -> Any:
        """The next line, or `None` when the process has ended."""
        line = self.answers.readline()
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
        # The nursery waits for it only when it is asked, so until then the id is that of no other process.
        if not self.ended:
            os.kill(self.id, signal.SIGKILL)
            self.has_ended(within_seconds=PATIENCE_SECONDS)
