"""The steps of gunicorn with `--preload`: load the package, fork, patch, serve. Arguments: a URL and a namespace."""

from __future__ import annotations

import faulthandler
import os
import sys
import time

import module_sdk
from module_sdk import tasks

REQUESTS = 24
LOOKUP_SECONDS = 10.0


def serve() -> None:
    from gevent import monkey  # noqa: PLC0415  # the test needs the import after that of the package

    monkey.patch_all()
    import gevent  # noqa: PLC0415  # the same

    def ask(number: int) -> tuple[Exception | None, float]:
        started = time.monotonic()
        return tasks.get_tasks_by_key(f"key {number}", 3).error, time.monotonic() - started

    greenlets = [gevent.spawn(ask, number) for number in range(REQUESTS)]
    gevent.joinall(greenlets)
    for greenlet in greenlets:
        error, seconds = greenlet.value
        assert error is None, error
        assert seconds < LOOKUP_SECONDS
    print("all is well", flush=True)


if __name__ == "__main__":
    module_sdk.configure(
        url=sys.argv[1], namespace=sys.argv[2], lookup_timeout_seconds=LOOKUP_SECONDS, max_connections=4
    )
    child = os.fork()
    if child:
        sys.exit(os.waitpid(child, 0)[1] != 0)
    faulthandler.dump_traceback_later(30, exit=True)
    serve()
    os._exit(0)
