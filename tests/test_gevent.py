"""gunicorn with gevent's workers: also with `--preload`, where the package is loaded before gevent patches Python."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

REQUESTS: Final = 24
ROOT: Final = Path(__file__).parents[1]


@pytest.fixture(params=["sqlite", "mariadb", "postgresql", "redis", "mongodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tasks.db'}"
    fixture = "valkey_url" if request.param == "redis" else f"{request.param}_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture(params=["preload", "no preload"])
def site(request: pytest.FixtureRequest, url: str, namespace: str, tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "2", "-b", f"127.0.0.1:{port}"]
    log = (tmp_path / "log").open("w+")
    child = subprocess.Popen(
        [*command, *(["--preload"] if request.param == "preload" else []), "tests.gevent_site:respond"],
        env={**os.environ, "SITE_URL": url, "SITE_NAMESPACE": namespace},
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    try:
        wait_for_port(port, child)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(20)
        log.seek(0)
        print(log.read())
        log.close()


def wait_for_port(port: int, child: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def test_requests_at_once_are_all_answered(site: str) -> None:
    # given two workers, when many requests come at once
    answers: list[dict[str, Any]] = []

    def ask(number: int) -> None:
        with urllib.request.urlopen(f"{site}/{number}", timeout=60) as response:
            answers.append(json.load(response))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(REQUESTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then each is answered, with the task that it has made
    assert [(answer["found"], answer["error"], answer["result"]) for answer in answers] == [
        (1, "None", "done")
    ] * REQUESTS
    assert all(answer["is_patched"] for answer in answers)
