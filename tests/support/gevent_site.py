"""A site for gunicorn with gevent workers. `SITE_USES_STORE_AT_IMPORT=yes` makes it use the store during its import."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import module_sdk
from module_sdk import tasks

module_sdk.configure(url=os.environ["SITE_URL"], namespace=os.environ["SITE_NAMESPACE"], max_connections=8)
if os.environ["SITE_USES_STORE_AT_IMPORT"] == "yes":
    assert tasks.list_user_tasks(7, 3).error is None


def respond(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    started = time.monotonic()
    key = environ["PATH_INFO"].strip("/")
    first = tasks.get_tasks_by_key(key, 3)
    with module_sdk.session(user={"id": 7, "organization_id": 3}):
        manager = module_sdk.facade.runtime.get_runtime().manager()
        manager.create(module_sdk.Task.new(user_id=7, organization_id=3, module="site", task_key=key))
        # A function runs on a thread of its own.
        name = "job " + key
        tasks.register("site.work")(work)
        view = tasks.wait(tasks.run_background_sync("site.work", task_key=name), 20)
        found = tasks.get_tasks_by_key(key, 3)
    answer = {
        "found": len(found),
        "errors": [repr(result.error) for result in (first, found) if result.error is not None],
        "result": view["result"],
        "seconds": time.monotonic() - started,
        "is_patched": "gevent" in threading.Thread.start.__module__ or "gevent" in threading.Lock.__module__,
        "process": os.getpid(),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def work() -> str:
    time.sleep(0.01)
    return "done"
