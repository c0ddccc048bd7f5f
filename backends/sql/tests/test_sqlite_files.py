"""Bad locations and damaged SQLite files cause typed errors that say what to do, and lose no stored state."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from module_sdk_sql.manager import SQLTaskManager

from module_sdk.backends import ConfigurationError, SchemaMissingError, Task, TaskBackendError
from tests.support.forked import in_a_child

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]


def in_child(work: Callable[[], None], *, user: int | None = None) -> None:
    """Run `work` in a forked child, as `user` if one is passed: for root no file is read-only."""

    def run() -> None:
        if user is not None and os.getuid() == 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        work()

    in_a_child(run)


@pytest.fixture
def lasting_task(opener: Opener, new_task: TaskMaker) -> Task:
    """A task in a file that was closed."""
    manager = opener()
    task, _ = manager.create(new_task(task_key="lasting", arguments={"a": 1}))
    manager.close()
    return task


def test_a_relative_path_is_kept_when_the_folder_changes(
    opener: Opener, new_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a manager on a relative path
    monkeypatch.chdir(tmp_path)
    manager = opener("sqlite:///relative.db")
    # when the working folder changes before first use
    monkeypatch.chdir("/")
    manager.create(new_task())
    # then the file is in the original folder
    assert (tmp_path / "relative.db").is_file()


def test_a_missing_folder_is_a_configuration_error(opener: Opener, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"the folder {tmp_path / 'none'} does not exist"):
        opener(f"sqlite:///{tmp_path / 'none' / 'tasks.db'}").count()


def test_a_folder_instead_of_a_file_is_a_configuration_error(opener: Opener, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder"):
        opener(f"sqlite:///{tmp_path}").count()


@pytest.mark.parametrize(
    "url", ["sqlite://host/tasks.db", "sqlite:///tasks.db?mode=ro", "sqlite:///t.db?synchronous=x"]
)
def test_a_url_with_a_host_or_a_bad_option_is_refused(opener: Opener, url: str) -> None:
    with pytest.raises(ConfigurationError):
        opener(url)


def test_an_unknown_option_is_refused(opener: Opener) -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'colour'"):
        opener(colour="red")


def test_without_auto_setup_no_file_is_created(opener: Opener, path: Path) -> None:
    # given a manager that may not set up
    manager = opener(auto_setup=False)
    # when it is used, then the error names the command, and there is no file
    with pytest.raises(ConfigurationError, match="module-sdk setup"):
        manager.count()
    assert not path.exists()
    # and after setup it works
    manager.setup()
    assert manager.count() == 0


def test_a_file_that_is_not_a_database_is_not_changed(opener: Opener, path: Path) -> None:
    path.write_text("this is a letter, not a database\n" * 100)
    with pytest.raises(ConfigurationError, match="not a SQLite database"):
        opener().count()
    assert path.read_text().startswith("this is a letter")


def test_an_empty_file_becomes_a_database(opener: Opener, path: Path) -> None:
    path.touch()
    assert opener().count() == 0


def test_a_database_in_utf_16_is_refused(opener: Opener, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA encoding = 'UTF-16le'; CREATE TABLE other (a)")
    connection.close()
    with pytest.raises(ConfigurationError, match="UTF-16le"):
        opener().count()


def test_a_corrupt_file_is_a_typed_failure(opener: Opener, new_task: TaskMaker, path: Path) -> None:
    # given a store of some pages
    manager = opener()
    manager.import_tasks(new_task(task_key=f"key {number}") for number in range(500))
    manager.close()
    # when everything after the first eight pages is overwritten
    content = path.read_bytes()
    path.write_bytes(content[: 8 * 4096] + b"\xa5" * (len(content) - 8 * 4096))
    # then lookups and writes raise a typed error
    damaged = opener()
    with pytest.raises(TaskBackendError, match="malformed"):
        damaged.list_user_tasks(1, 7)
    with pytest.raises(TaskBackendError, match="malformed"):
        damaged.import_tasks([new_task()])


def test_a_file_and_folder_that_cannot_be_written_are_still_read(
    opener: Opener, new_task: TaskMaker, lasting_task: Task, path: Path
) -> None:
    # given a read-only file that nobody has open, in a folder of another user
    path.chmod(0o444)
    for folder in (path.parent, *path.parents[1:4]):
        folder.chmod(0o755)

    def read_and_write() -> None:
        # when it is read, then each result is correct
        manager = opener()
        for _ in range(2):
            assert [row["id"] for row in manager.get_tasks_by_key("lasting", 7)] == [lasting_task.id]
        assert manager.get(lasting_task.id) == lasting_task
        assert "the file can only be read here: every write will fail" in manager.diagnose().warnings
        # and a write is refused
        with pytest.raises(TaskBackendError, match="readonly"):
            manager.create(new_task())

    in_child(read_and_write, user=65534)
    # then nothing was changed
    assert opener().count() == 1


def test_a_file_that_cannot_be_created_is_a_configuration_error(opener: Opener, path: Path) -> None:
    path.parent.chmod(0o555)
    for folder in path.parents[1:4]:
        folder.chmod(0o755)

    def use() -> None:
        with pytest.raises(ConfigurationError, match="cannot be created: Permission denied"):
            opener().count()

    in_child(use, user=65534)


def test_a_deleted_file_does_not_come_back_empty(
    opener: Opener, new_task: TaskMaker, lasting_task: Task, path: Path
) -> None:
    # given an open store
    manager = opener()
    assert manager.count() == 1
    # when its file is moved away, then reads and writes fail
    aside = path.rename(path.with_suffix(".aside"))
    for companion in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        companion.unlink(missing_ok=True)
    with pytest.raises(SchemaMissingError, match="the schema is gone"):
        manager.list_user_tasks(1, 7)
    with pytest.raises(SchemaMissingError, match="the schema is gone"):
        manager.create(new_task())
    assert not path.exists()
    # and when it is moved back, they work again
    aside.rename(path)
    assert [row["id"] for row in manager.list_user_tasks(1, 7)] == [lasting_task.id]


def test_a_full_disk_leaves_the_earlier_state(opener: Opener, new_task: TaskMaker, path: Path) -> None:
    # given a store whose file cannot grow
    manager = opener(max_connections=1)
    kept, _ = manager.create(new_task(task_key="kept"))
    with manager.pool.connection(manager.deadline(None)) as connection:
        connection.fetch(
            "PRAGMA max_page_count = 1", (), manager.deadline(None)
        )  # SQLite raises it to the current count
    # when larger tasks are written
    large = "x" * 900_000
    with pytest.raises(TaskBackendError, match="full"):
        manager.create(new_task(task_key="large", arguments=large))
    with pytest.raises(TaskBackendError, match="full"):
        manager.update(kept.id, progress=0.5, checkpoint=large)
    with pytest.raises(TaskBackendError, match="full"):
        manager.import_tasks(new_task(arguments=large) for _ in range(3))
    # then nothing is partly written, lookups work, and so does a write that needs no space
    assert manager.get_tasks_by_key("large", 7) == []
    assert manager.get(kept.id) == kept
    assert manager.count() == 1
    assert manager.update(kept.id, progress=0.75)["progress"] == 0.75  # type: ignore[index]


def test_lookups_work_when_the_disk_is_full(opener: Opener, new_task: TaskMaker, lasting_task: Task) -> None:
    # given a process that may not write another byte to a file
    def use() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        manager = opener()
        # then a lookup returns the stored task, and a write raises the typed error
        assert [row["id"] for row in manager.list_user_tasks(1, 7)] == [lasting_task.id]
        with pytest.raises(TaskBackendError):
            manager.create(new_task())

    in_child(use)
    assert opener().count() == 1
