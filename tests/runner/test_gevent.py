"""gunicorn with gevent workers, also with `--preload`, where the package is loaded before gevent patches Python."""

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

import psutil
import pytest

from tests.support.environments import ROOT

REQUESTS: Final = 24
Site = tuple[str, list[psutil.Process]]
CHILD: Final = Path(__file__).parents[1] / "support" / "gevent_child.py"


@pytest.fixture(params=["sqlite", "mariadb", "postgresql", "redis", "mongodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tasks.db'}"
    fixture = "valkey_url" if request.param == "redis" else f"{request.param}_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture(params=["preload", "preload, store used before", "no preload"])
def site(request: pytest.FixtureRequest, url: str, namespace: str, tmp_path: Path) -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "2", "-b", f"127.0.0.1:{port}"]
    used = "yes" if "used" in request.param else "no"
    if used == "yes" and url.startswith("mongodb"):
        pytest.skip("gevent cannot patch a process in which MongoDB's driver was in use: docs/signals-and-gevent.md")
    log = (tmp_path / "log").open("w+")
    child = subprocess.Popen(
        [
            *command,
            *(["--preload"] if request.param.startswith("preload") else []),
            "tests.support.gevent_site:respond",
        ],
        env={**os.environ, "SITE_URL": url, "SITE_NAMESPACE": namespace, "SITE_USES_STORE_AT_IMPORT": used},
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    try:
        wait_for_port(port, child)
        yield f"http://127.0.0.1:{port}", psutil.Process(child.pid).children()
    finally:
        # Not `terminate`: gunicorn may lose a SIGTERM while a worker is starting.
        for worker in psutil.Process(child.pid).children():
            worker.kill()
        child.kill()
        child.wait(20)
        log.seek(0)
        print(log.read())
        log.close()


def test_greenlets_do_not_wait_for_a_lock_made_before_the_patch(url: str, namespace: str) -> None:
    # when a process loads and configures the package, forks, is patched, and then makes many calls at once
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(CHILD), url, namespace],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # then every call returns
    assert (done.returncode, done.stdout) == (0, "all is well\n"), done.stdout + done.stderr


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


def test_concurrent_requests_are_all_answered(site: Site) -> None:
    # given two suspended workers with many waiting requests
    address, workers = site
    for worker in workers:
        worker.suspend()
    answers: list[dict[str, Any]] = []

    def ask(number: int) -> None:
        with urllib.request.urlopen(f"{address}/{number}", timeout=60) as response:
            answers.append(json.load(response))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(REQUESTS)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)

    # when the workers start all of them at once
    for worker in workers:
        worker.resume()
    for thread in threads:
        thread.join()

    # then each response reports the task that its request made
    expected: list[tuple[int, list[str], str]] = [(1, [], "done")] * REQUESTS
    assert [(answer["found"], answer["errors"], answer["result"]) for answer in answers] == expected
    assert all(answer["is_patched"] for answer in answers)
