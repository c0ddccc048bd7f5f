"""`module-sdk doctor`: its report on a good store, and on stores in trouble."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from module_sdk_sql.schema import SCHEMA_VERSION

import module_sdk
from module_sdk.cli.doctor import ORGANIZATION
from tests.support.command_line import CommandLine


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_a_good_store_is_reported_as_good(command_line: CommandLine) -> None:
    report = command_line.read("doctor")

    assert report["ok"] is True
    assert report["trouble"] == []
    assert report["store"]["url"] == f"sqlite:///{command_line.default_file}"
    assert report["store"]["from"] == "the default: an SQLite file in the user's data folder"
    assert report["store"]["backend"] == "module_sdk_sql"
    assert report["versions"]["module-sdk"] == module_sdk.__version__
    assert report["facts"]["server"].startswith("SQLite 3.")
    assert report["facts"]["schema version"] == str(SCHEMA_VERSION)
    assert {"shared", "durable"} <= set(report["capabilities"])
    assert set(report["latency_milliseconds"]) == {"ping", "lookup", "write"}
    assert all(value > 0 for value in report["latency_milliseconds"].values())


def test_it_leaves_nothing_behind(command_line: CommandLine) -> None:
    manager = command_line.default_manager()
    kept, _ = manager.create(module_sdk.Task.new(user_id=7, organization_id=ORGANIZATION, module="tests"))

    command_line.succeed("doctor")

    assert [row["id"] for row in manager.page()] == [kept.id]
    manager.close()


def test_the_text_report_says_the_same(command_line: CommandLine) -> None:
    out = command_line.succeed("--url", "sqlite:///tasks.db", "doctor")

    for words in ("sqlite:///tasks.db", "the option --url", "SQLite 3.", "schema version", "shared, durable", "ms"):
        assert words in out
    assert "found by user, key and prefix" in out


@pytest.mark.parametrize("source", ["module_sdk.toml", "pyproject.toml"])
def test_it_says_where_the_url_came_from(command_line: CommandLine, source: str) -> None:
    table = "[tool.module-sdk]\n" if source == "pyproject.toml" else ""
    (command_line.home / source).write_text(f'{table}url = "sqlite:///from_file.db"\n')

    from_file = command_line.read("doctor")["store"]
    from_environment = command_line.read("doctor", MODULE_SDK_TASKS_URL="sqlite:///b.db")["store"]

    assert from_file["url"] == "sqlite:///from_file.db"
    assert from_file["from"] == f"{source} in the working folder"
    assert from_environment["url"] == "sqlite:///b.db"
    assert "MODULE_SDK_TASKS_URL" in from_environment["from"]


def test_a_store_in_memory_is_good_with_warnings(command_line: CommandLine) -> None:
    report = command_line.read("--url", "memory://", "doctor")

    assert report["ok"] is True
    assert [warning.partition(":")[0] for warning in report["warnings"]] == [
        "the store is not shared",
        "the store is not durable",
    ]


def test_a_corrupt_file_is_reported_as_trouble(command_line: CommandLine) -> None:
    (command_line.home / "corrupt.db").write_bytes(b"this is no database" * 100)

    done = command_line.run("--url", "sqlite:///corrupt.db", "doctor", "--json")

    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["ok"] is False
    assert report["store"]["url"] == "sqlite:///corrupt.db"
    assert "the file is not a SQLite database" in report["trouble"][0]


def test_an_invalid_url_is_reported_as_trouble_without_its_password(command_line: CommandLine) -> None:
    done = command_line.run("--url", "nosuch://user:s3cret@host/", "doctor", "--json")

    assert done.returncode == 1
    assert "nosuch://" in json.loads(done.stdout)["trouble"][0]
    assert "s3cret" not in done.stdout + done.stderr


def test_a_read_only_file_is_reported_as_trouble(command_line: CommandLine) -> None:
    command_line.succeed("--url", "sqlite:///tasks.db", "setup")
    # With a folder where the log should be, SQLite opens the file for reading only, even for root.
    (command_line.home / "tasks.db-wal").mkdir()

    line = command_line.fail("--url", "sqlite:///tasks.db", "doctor")

    assert line.startswith("error: ")
