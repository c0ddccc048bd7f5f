"""Work whose store is emptied: its end is recorded once the store has been restored or set up (SEE-10)."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from pathlib import Path

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import SchemaMissingError
from module_sdk.testing import USER
from tests.support.sample_work import Gate


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_an_end_is_recorded_once_the_store_is_restored(
    tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given running work, and a backup of its store
    path, backup = tmp_path / "tasks.db", tmp_path / "backup.db"
    module_sdk.configure(url=f"sqlite:///{path}")
    with module_sdk.session(user=USER):
        gate = Gate("done")
        task_id = gate.submit(form, task_key="k")
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)

        # when the files of the store are deleted and the work ends
        for each in tmp_path.glob("tasks.db*"):
            each.unlink()
        with caplog.at_level(logging.WARNING, "module_sdk.tasks"):
            gate.opened.set()
            stop = time.monotonic() + 20
            while f"the end of task {task_id} waits for the store" not in caplog.text:
                assert time.monotonic() < stop
                time.sleep(0.01)
        assert not path.exists()
        with pytest.raises(SchemaMissingError):
            tasks.run_background_sync(Gate("more").coroutine())

        # then the end is recorded in the restored store
        backup.rename(path)
        view = tasks.wait(task_id, 20)
    assert (view["status"], view["result"]) == ("completed", "done")
