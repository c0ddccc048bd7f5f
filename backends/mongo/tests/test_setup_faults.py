"""What the store requires of a server, a URL and a user, and the errors if a requirement is not met."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pymongo
import pytest
from module_sdk_mongo.connection import DEFAULT_DATABASE
from module_sdk_mongo.manager import MongoTaskManager
from module_sdk_mongo.schema import BY_ACTIVE_KEY, BY_USER, INDEXES

from devtools.servers.kinds import PASSWORD, MongoDB
from module_sdk import open_manager
from module_sdk.backends import ConfigurationError, Task, TaskBackendUnavailableError
from tests.support.fixtures import running

Opener = Callable[..., MongoTaskManager]
TaskMaker = Callable[..., Task]

SECRET: Final = quote(PASSWORD, safe="")


@pytest.fixture(scope="module")
def guarded_port() -> Iterator[int]:
    """The port of a server that requires a password: `owner` may read and write, `reader` may only read."""
    with running(MongoDB, "--auth") as server:
        with pymongo.MongoClient[dict[str, Any]](server.base_url) as client:
            # The first user can be created without a login.
            client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        with pymongo.MongoClient[dict[str, Any]](f"mongodb://root:{SECRET}@127.0.0.1:{server.port}/") as root:
            for name, role in (("owner", "readWrite"), ("reader", "read")):
                roles = [{"role": role, "db": "guarded"}]
                root.guarded.command("createUser", name, pwd=PASSWORD, roles=roles)
        yield server.port


def test_a_wrong_password_is_a_setup_fault(guarded_port: int, opener: Opener) -> None:
    # given a URL with a wrong password
    manager = opener(f"mongodb://owner:s3cret%21@127.0.0.1:{guarded_port}/guarded")

    # when it is used, then the error says so, and does not show the password
    with pytest.raises(ConfigurationError, match="refuses the user or the password") as raised:
        manager.setup()
    assert "s3cret" not in str(raised.value)


def test_a_user_that_may_not_write_is_told_what_to_run(guarded_port: int, opener: Opener) -> None:
    # given a user that may only read
    manager = opener(f"mongodb://reader:{SECRET}@127.0.0.1:{guarded_port}/guarded")

    # when the schema must be created, then the error contains the statement to run
    with pytest.raises(ConfigurationError, match=r'grantRolesToUser\(.*readWrite", db: "guarded"'):
        manager.setup()


def test_a_user_needs_rights_for_one_database_only(guarded_port: int, opener: Opener, new_task: TaskMaker) -> None:
    # given a user who may only read and write one database
    manager = opener(f"mongodb://owner:{SECRET}@127.0.0.1:{guarded_port}/guarded")

    # when it is used
    manager.create(new_task(task_key="job"))
    diagnosis = manager.diagnose()

    # then every call works, and facts that the user may not read are reported as unknown
    assert manager.count() == 1
    assert diagnosis.facts["storage engine"].startswith("unknown")
    # and a user who may only read can use the existing schema
    assert opener(f"mongodb://reader:{SECRET}@127.0.0.1:{guarded_port}/guarded").count() == 1


@pytest.mark.parametrize("option", ["--nojournal", "--storageEngine=ephemeralForTest"])
def test_a_server_without_a_journal_is_refused(option: str, opener: Opener) -> None:
    # given a server that may lose acknowledged writes, when it is used, then the error says why it is refused
    with running(MongoDB, option) as server, pytest.raises(ConfigurationError, match="keeps no journal"):
        opener(server.url).count()


def test_an_unknown_host_is_unavailable(opener: Opener) -> None:
    with pytest.raises(TaskBackendUnavailableError, match=r"nowhere\.invalid"):
        opener("mongodb://nowhere.invalid/", timeout_seconds=1).ping(timeout_seconds=5)


def test_an_unknown_service_name_is_unavailable(opener: Opener) -> None:
    # given a URL whose hosts are in DNS, when there are none, then the error names the URL's host or DNS
    with pytest.raises(TaskBackendUnavailableError, match=r"nowhere\.invalid|DNS"):
        opener("mongodb+srv://nowhere.invalid/", timeout_seconds=5).ping(timeout_seconds=10)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://user:p@ss:w0rd@host/",
        "mongodb://host:port/",
        "mongodb://host/?w=0&journal=true",
        "mongodb://host/?readPreference=primary&maxStalenessSeconds=100",
    ],
)
def test_a_url_that_the_driver_refuses_is_a_setup_fault(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_manager(url)
    assert "w0rd" not in str(raised.value)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        open_manager("mongodb://host/", colour="red")  # type: ignore[call-arg]  # what is refused


def test_the_path_of_the_url_names_the_database(mongodb_url: str, opener: Opener) -> None:
    base = urlsplit(mongodb_url)._replace(path="").geturl()
    assert opener(f"{base}/elsewhere").connection.database.name == "elsewhere"
    assert opener(f"{base}/").connection.database.name == DEFAULT_DATABASE
    assert opener("mongodb+srv://store.example.org/elsewhere").connection.database.name == "elsewhere"


def test_the_pool_size_of_the_url_overrides_the_option(opener: Opener) -> None:
    sizes = [
        client.options.pool_options.max_pool_size
        for url in ("mongodb://host/", "mongodb://host/?maxPoolSize=3")
        if (client := opener(url, max_connections=5).connection.client) is not None
    ]
    assert sizes == [5, 3]


def test_a_missing_schema_is_not_created_without_auto_setup(opener: Opener) -> None:
    # given a manager that must not create the schema
    manager = opener(auto_setup=False)

    # when the schema is missing, then the error says what to run
    with pytest.raises(ConfigurationError, match="module-sdk setup"):
        manager.count()

    # and after `setup` the manager works
    opener().setup()
    assert manager.count() == 0


def test_setup_creates_missing_indexes(manager: MongoTaskManager, opener: Opener) -> None:
    # given a store whose index was dropped
    manager.setup()
    manager.connection.tasks.drop_index(BY_USER)
    with pytest.raises(ConfigurationError, match="module-sdk setup"):
        opener(auto_setup=False).list_user_tasks(1, 7)

    # when `setup` runs again
    opener().setup()

    # then the index exists again
    assert set(manager.connection.tasks.index_information()) == {"_id_", *INDEXES}
    assert manager.list_user_tasks(1, 7) == []


def test_a_task_without_a_key_is_in_no_partial_index(manager: MongoTaskManager, new_task: TaskMaker) -> None:
    # given tasks without a key, an active task with a key, and a finished task with a key
    for fields in ({}, {}, {"task_key": "a"}, {"task_key": "b"}):
        task, _ = manager.create(new_task(**fields))
    manager.update(task.id, status="failed")

    # when the documents are read
    tasks = manager.connection.tasks
    documents = list(tasks.find())

    # then a field without a value is absent, and the index contains only the active key
    assert all(value is not None for document in documents for value in document.values())
    assert sum("active_key" in document for document in documents) == 1
    explained = tasks.find({"active_key": {"$exists": True}, "organization_id": "7"}, hint=BY_ACTIVE_KEY).explain()
    assert explained["executionStats"]["totalKeysExamined"] == 1


def test_diagnose_reports_the_facts_that_decide_durability(manager: MongoTaskManager) -> None:
    diagnosis = manager.diagnose()
    assert diagnosis.facts["storage engine"] == "wiredTiger"
    assert diagnosis.facts["write concern"] == "j=True, w=majority"
    assert diagnosis.facts["schema version"].startswith("1 ")
    assert diagnosis.facts["driver"] == f"pymongo {pymongo.version}"
    assert diagnosis.warnings == []


def test_without_the_driver_the_error_names_the_extra() -> None:
    # given a Python without pymongo
    script = """
        import sys
        sys.modules["pymongo"] = None
        import module_sdk
        try:
            module_sdk.open_manager("mongodb+srv://host/")
        except module_sdk.ConfigurationError as error:
            print(error)
    """

    # when a manager is opened
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=60
    )

    # then the error says what to install
    assert "pip install 'module-sdk[mongo]'" in done.stdout
