"""A process that forks workers with their modules loaded: `python -m module_sdk_contract.processes.worker_factory`.

An interpreter and its imports cost half a second of work, a fork costs a few milliseconds. This process has one thread
and opens no manager, so a worker begins as a new interpreter would. `workers.py` has the other side.
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
"""Standard input, output and error of a worker, which travel with the request."""
CHECK_SECONDS: Final = 0.002


def send(link: socket.socket, message: object, streams: Iterable[int] = ()) -> None:
    text = json.dumps(message).encode()
    length = len(text).to_bytes(LENGTH_BYTES)
    if files := list(streams):
        socket.send_fds(link, [length], files)
    else:
        link.sendall(length)
    link.sendall(text)


def receive(link: socket.socket) -> tuple[Any, list[int]]:
    """The next message and the files that came with it. Raises `EOFError` when the other end is closed."""
    head, files, _, _ = socket.recv_fds(link, LENGTH_BYTES, STREAMS, socket.MSG_WAITALL)
    with link.makefile("rb") as reader:
        text = reader.read(int.from_bytes(head))
    if not text:
        raise EOFError("the other process has ended")
    return json.loads(text), files


def answer_requests(link: socket.socket) -> None:
    # Ctrl-C ends the parent, and the end of the parent ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            request, streams = receive(link)
            if "worker" in request:
                send(link, ends_within(request["worker"], request["seconds"]))
                continue
            inherit(request)
            import_each(request["modules"])
            worker = os.fork()
            if worker == 0:
                link.close()
                be_a_worker(streams)
            for stream in streams:
                os.close(stream)
            send(link, worker)


def inherit(request: dict[str, Any]) -> None:
    """Take over what a new process would inherit from the parent as it is now."""
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:] = request["path"]
    os.chdir(request["folder"])


def import_each(modules: Iterable[str]) -> None:
    for name in modules:
        # A module that fails to load fails again in the worker, which reports it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def be_a_worker(streams: list[int]) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        serve()
        status = 0
    except BaseException:  # a forked process must not return into the loop of its parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def ends_within(worker: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not os.waitpid(worker, os.WNOHANG)[0]:
        if time.monotonic() >= until:
            return False
        time.sleep(CHECK_SECONDS)
    return True


if __name__ == "__main__":
    answer_requests(socket.socket(fileno=int(sys.argv[1])))
