"""Work that is submitted under real web frameworks and servers."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.store.manager import TaskManager
from tests.support.sample_work import Gate, get, until_status

APPLICATION = """
import asyncio
import os
import threading
import time
from collections.abc import Iterator

from fastapi import Depends, FastAPI

import module_sdk
from module_sdk import tasks

module_sdk.facade.runtime.shutdown.__defaults__ = (0.2,)
LOOPS = []

@tasks.register("reports.function")
def function():
    time.sleep(60)

async def coroutine():
    await asyncio.sleep(60)

async def runs_on_server_loop():
    return asyncio.get_running_loop() in LOOPS

async def session():
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        yield

def threaded_session() -> Iterator[module_sdk.facade.sessions.Session]:
    with module_sdk.session(user={"id": 7, "organization_id": 3}) as opened:
        yield opened

app = FastAPI(lifespan=module_sdk.lifespan if os.environ.get("WITH_LIFESPAN") else None)

@app.get("/coroutine", dependencies=[Depends(session)])
async def run_coroutine():
    return await tasks.run_background(coroutine())

@app.get("/function", dependencies=[Depends(session)])
def run_function():
    return tasks.run_background_sync("reports.function")

@app.get("/where", dependencies=[Depends(session)])
async def report_loop():
    LOOPS.append(asyncio.get_running_loop())
    task_id = await tasks.run_background(runs_on_server_loop())
    return (await tasks.await_task(task_id, 10))["result"]

@app.get("/threaded")
def run_bound(opened=Depends(threaded_session)):
    user = {"id": opened.user_id, "organization_id": opened.organization_id}
    return module_sdk.bind({"user": user}, "reports").tasks.run_background_sync("reports.function")

@app.get("/threaded-error")
def fail(opened=Depends(threaded_session)):
    tasks.run_background_sync("reports.function")

@app.get("/current-user")
def current_user():
    opened = module_sdk.current_session()
    return None if opened is None else opened.user_id
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TaskManager]:
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        manager = module_sdk.open_manager(f"sqlite:///{tmp_path / 'tasks.db'}")
        manager.setup()
        yield manager
        manager.close()


class Uvicorn:
    """`uvicorn main:app` on a loopback port."""

    def __init__(self, folder: Path, url: str, *options: str, **environment: str) -> None:
        (folder / "main.py").write_text(APPLICATION)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "main:app", "--port", str(self.port), *options],
            cwd=folder,
            env=os.environ | {"MODULE_SDK_TASKS_URL": url} | environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path: str) -> tuple[int, Any]:
        deadline = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                text = response.read()
                return response.status, json.loads(text) if response.status == 200 else None
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.05)
            finally:
                connection.close()

    def terminate(self, number: int = signal.SIGTERM) -> str:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return errors


@contextlib.contextmanager
def uvicorn(folder: Path, manager: TaskManager, *options: str, **environment: str) -> Iterator[Uvicorn]:
    server = Uvicorn(folder, manager.url.text, *options, **environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("environment", [{}, {"WITH_LIFESPAN": "1"}], ids=["plain", "lifespan"])
@pytest.mark.parametrize("path", ["/coroutine", "/function"])
def test_uvicorn_that_is_terminated_interrupts_its_work(
    file: TaskManager, tmp_path: Path, path: str, environment: dict[str, str], loop: str
) -> None:
    with uvicorn(tmp_path, file, "--loop", loop, **environment) as server:
        status, task_id = server.get(path)
        assert status == 200
        until_status(file, task_id, "running", seconds=30)

        errors = server.terminate()

    task = get(file, task_id)
    assert (task.status, task.error) == ("interrupted", "shutdown")
    assert server.process.returncode == -signal.SIGTERM
    assert "Application shutdown complete" in errors


def test_the_work_of_a_server_runs_on_the_servers_loop(file: TaskManager, tmp_path: Path) -> None:
    for loop in ("asyncio", "uvloop"):
        with uvicorn(tmp_path, file, "--loop", loop) as server:
            assert server.get("/where") == (200, True)


def test_ctrl_c_in_a_server_interrupts_its_work(file: TaskManager, tmp_path: Path) -> None:
    with uvicorn(tmp_path, file) as server:
        ids = [server.get(path)[1] for path in ("/coroutine", "/function")]
        server.terminate(signal.SIGINT)
    assert {get(file, task_id).status for task_id in ids} == {"interrupted"}


def test_a_synchronous_dependency_may_yield_a_session(file: TaskManager, tmp_path: Path) -> None:
    with uvicorn(tmp_path, file) as server:
        # when the code before its `yield` and the code after it run in different contexts
        status, task_id = server.get("/threaded")

        # then the endpoint can use the yielded session, its own error is raised, and no other request has the session
        assert status == 200
        assert until_status(file, task_id, "running", seconds=30).user_id == 7
        assert server.get("/threaded-error")[0] == 500
        assert [server.get("/current-user") for _ in range(20)] == [(200, None)] * 20
        errors = server.terminate()
    assert "SessionRequiredError" in errors
    assert "ValueError: <Token" not in errors


# --- Async views under WSGI ---


def flask_view(work: Gate) -> str:
    from flask import Flask  # noqa: PLC0415  # imported only where it is used, as Django below

    app = Flask(__name__)

    @app.get("/")
    async def view() -> str:
        return await tasks.run_background(work.coroutine())

    return app.test_client().get("/").text


def django_view(work: Gate) -> str:
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415
    from django.http import HttpRequest, HttpResponse  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.urls import path  # noqa: PLC0415

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(await tasks.run_background(work.coroutine()))

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF=())
        django.setup()
    settings.ROOT_URLCONF = (path("", view),)
    return bytes(Client().get("/").content).decode()


def plain_asyncio(work: Gate) -> str:
    return asyncio.run(tasks.run_background(work.coroutine()))


@pytest.mark.parametrize("submit", [flask_view, django_view, plain_asyncio])
def test_work_outlives_the_loop_of_one_request(store: TaskManager, submit: Any) -> None:
    # given work that ends after the response
    work = Gate("done")

    task_id = submit(work)
    assert work.begun.wait(10)
    work.opened.set()

    assert tasks.wait(task_id, 10)["result"] == "done"
