"""The worker factory: `python -m module_sdk_contract.processes.worker_factory` forks workers with modules loaded.

Starting an interpreter and importing modules takes half a second, a fork a few milliseconds. This process has a single
thread and opens no manager, so a worker begins in the state of a new interpreter. `workers.py` sends the requests.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from module_sdk_contract.processes.worker import serve

LENGTH_BYTES: Final = 8
STREAMS: Final = 3
"""Standard input, output and error of a worker, which are sent with the request."""
CHECK_SECONDS: Final = 0.002


def send(connection: socket.socket, message: object, streams: Iterable[int] = ()) -> None:
    text = json.dumps(message).encode()
    length = len(text).to_bytes(LENGTH_BYTES)
    if files := list(streams):
        socket.send_fds(connection, [length], files)
    else:
        connection.sendall(length)
    connection.sendall(text)


def receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """Return the next message and the descriptors sent with it. Raise `EOFError` if the other end is closed."""
    head, files, _, _ = socket.recv_fds(connection, LENGTH_BYTES, STREAMS, socket.MSG_WAITALL)
    with connection.makefile("rb") as reader:
        text = reader.read(int.from_bytes(head))
    if not text:
        raise EOFError("the other process has ended")
    return json.loads(text), files


def answer_requests(connection: socket.socket) -> None:
    # Ctrl-C must end only the parent. Its end closes the connection, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            request, streams = receive(connection)
            if "worker" in request:
                send(connection, ends_within(request["worker"], request["seconds"]))
                continue
            inherit(request)
            import_each(request["modules"])
            worker = os.fork()
            if worker == 0:
                connection.close()
                run_as_worker(streams)
            for stream in streams:
                os.close(stream)
            send(connection, worker)


def inherit(request: dict[str, Any]) -> None:
    """Adopt the state that a new process would inherit from the parent now: environment, path and folder."""
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:] = request["path"]
    os.chdir(request["folder"])


def import_each(modules: Iterable[str]) -> None:
    for name in modules:
        # An import that fails here fails again in the worker, which reports it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def run_as_worker(streams: list[int]) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        serve()
        status = 0
    except BaseException:  # a forked process must never return into the loop of its parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def ends_within(worker: int, seconds: float) -> bool:
    """Return whether the worker ends within that time."""
    until = time.monotonic() + seconds
    while not os.waitpid(worker, os.WNOHANG)[0]:
        if time.monotonic() >= until:
            return False
        time.sleep(CHECK_SECONDS)
    return True


if __name__ == "__main__":
    answer_requests(socket.socket(fileno=int(sys.argv[1])))
