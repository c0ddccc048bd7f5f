"""A real server for the tests, on a free loopback port, with its data in a temporary folder that is always removed."""

from __future__ import annotations

import abc
import contextlib
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit

import psutil
import psycopg
import pymongo.errors
import pymysql
import redis

from devtools.servers import guard

START_SECONDS: Final = 60
# Below the system's range for outgoing connections, so that none of these can take the port of a killed server.
PORTS: Final = range(20_000, 32_000)
UNPRIVILEGED_USER: Final = "nobody"
NOT_READY: Final = (OSError, psycopg.Error, pymysql.Error, redis.RedisError, pymongo.errors.PyMongoError)


running: Final[dict[int, Server]] = {}
"""The running servers of this process, by port."""


class Server(abc.ABC):
    """One server. As a context manager it starts on entry; on exit it ends and its data is removed."""

    title: ClassVar[str]
    variable: ClassVar[str]
    """The environment variable for the URL of an existing server to use instead; empty if there is no such variable."""
    remedy: ClassVar[str]
    """How to install the server."""
    refuses_root: ClassVar[bool] = False

    url: str
    """The URL of a database that was empty when the server was first started."""

    def __init__(self, *options: str) -> None:
        """`options` are added to the server's command line. Raise `FileNotFoundError` if the server is missing."""
        found = self.find_binary()
        if found is None:
            raise FileNotFoundError(self.missing())
        self.binary = found
        self.options = options
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"module-sdk-{self.title.lower()}-"))
        self.process: psutil.Popen | None = None
        self.guard = subprocess.Popen(
            [sys.executable, "-m", guard.__name__, self.folder],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in the terminal must reach pytest only
        )
        assert self.guard.stdin is not None
        self.guard_input = self.guard.stdin
        # The guard waits for the end of its input, which a forked child that outlives pytest must not keep open.
        os.register_at_fork(after_in_child=self.guard_input.close)

    # --- What each kind of server defines -------------------------------------------------------------------------

    @classmethod
    @abc.abstractmethod
    def find_binary(cls) -> Path | None:
        """Return the path of the server's executable, or `None` if it is not installed."""

    @abc.abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return the server's command line. Its working folder is `folder`."""

    def prepare(self) -> None:  # noqa: B027  # most servers create their data themselves
        """Create the data in `folder`, which is empty."""

    @property
    @abc.abstractmethod
    def base_url(self) -> str:
        """The URL of the server, without a database of the tests."""

    @classmethod
    @abc.abstractmethod
    def check(cls, url: str) -> None:
        """Raise one of the errors `NOT_READY` unless the server answers."""

    @classmethod
    @abc.abstractmethod
    def create_database(cls, url: str) -> str:
        """Create an empty database on the server of the URL, and return the URL of the database."""

    @classmethod
    @abc.abstractmethod
    def drop_database(cls, url: str) -> None:
        """Remove a database that `create_database` created."""

    # --- Lifecycle ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            if self.identity:
                shutil.chown(self.folder, self.identity["user"], self.identity["group"])
            self.prepare()
            self.start()
            self.url = self.create_database(self.base_url)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process on its port and data, and wait until it answers.

        Raise `RuntimeError` with the end of its log if it ends or does not answer in time.
        """
        with self.log.open("ab") as log:
            self.process = psutil.Popen(self.command(), stdout=log, **self.process_options)
        self.report_to_guard(self.process.pid)
        running[self.port] = self
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.check(self.base_url)
            except NOT_READY as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{self.title} did not start: {self.log_end()}") from error
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill every process of the server."""
        assert self.process is not None
        guard.kill_tree(self.process)
        self.process = None
        self.report_to_guard("")

    def restart(self) -> None:
        """Start the server again on the same port and data; kill it first if it runs."""
        if self.process is not None:
            self.kill()
        self.start()

    def suspend(self) -> None:
        """Send SIGSTOP: the system still accepts connections, but the server does not answer."""
        assert self.process is not None
        guard.signal_tree(self.process, signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT, after which the server answers again."""
        assert self.process is not None
        guard.signal_tree(self.process, signal.SIGCONT)

    def close(self) -> None:
        """End the process and remove its data."""
        running.pop(self.port, None)
        if self.process is not None:
            guard.end_tree(self.process)
            self.process = None
            self.report_to_guard("")
        self.guard_input.close()
        self.guard.wait()

    # --- Shared machinery -----------------------------------------------------------------------------------------

    @classmethod
    def missing(cls) -> str:
        return f"{cls.title} is missing: {cls.remedy}" + (f", or set {cls.variable}" if cls.variable else "")

    @classmethod
    def version(cls) -> str:
        """Return a line for pytest's header that names the server that the tests will use."""
        binary = cls.find_binary()
        if cls.variable and os.environ.get(cls.variable):
            return f"{cls.title}: the one that {cls.variable} names"
        if binary is None:
            return cls.missing()
        done = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True)
        return f"{cls.title}: {done.stdout.splitlines()[0]}"

    @property
    def identity(self) -> dict[str, Any]:
        """The user and groups that run the server, as arguments of `subprocess`."""
        if not self.refuses_root or os.geteuid() != 0:
            return {}
        group = pwd.getpwnam(UNPRIVILEGED_USER).pw_gid
        return {"user": UNPRIVILEGED_USER, "group": group, "extra_groups": []}

    @property
    def process_options(self) -> dict[str, Any]:
        """The arguments of `subprocess` for the server and for the commands that prepare it."""
        return {
            "cwd": self.folder,
            "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TMPDIR": str(self.folder)},
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "start_new_session": True,
            **self.identity,
        }

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2_000:]

    def run(self, *command: str | Path) -> None:
        """Run a command that prepares the data. Raise `RuntimeError` with the end of the log if it fails."""
        with self.log.open("ab") as log:
            done = subprocess.run(command, stdout=log, check=False, **self.process_options)
        if done.returncode:
            raise RuntimeError(f"{self.title} could not be prepared: {self.log_end()}")

    def report_to_guard(self, process_id: int | str) -> None:
        self.guard_input.write(f"{process_id}\n".encode())


def wheel_file(package: str, path: str) -> Path | None:
    """Return the path of a file of an installed package, without importing the package, or `None`."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations or () if spec else ()
    return next((found for folder in folders if (found := Path(folder, path)).exists()), None)


def on_path(program: str) -> Path | None:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    return Path(found) if found else None


def free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def restart_server_of(url: str) -> bool:
    """Kill the server of the URL and start it again. Return false if this process did not start that server."""
    server = running.get(urlsplit(url).port or 0)
    if server is not None:
        server.restart()
    return server is not None
