"""Mutants of the rules about input."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar
from unittest import mock

from module_sdk_mongo import manager
from module_sdk_mongo.updates import pipeline

from module_sdk.backends import Change, InvalidInputError, ManagerOptions, TaskRecord
from module_sdk.domain.rows import LookupResult
from module_sdk.domain.text_rules import MAXIMUM_KEY_BYTES, fits
from tests.mutants.marking import mutant
from tests.mutants.stores.facade import Patch, PatchedFacade
from tests.mutants.stores.memory import ChangedRows, MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.sql import ChangedConnections, SQLMutant


def without_literals(change: Change, *, keeps_server_time: bool) -> list[dict[str, Any]]:
    stages = pipeline(change, keeps_server_time=keeps_server_time)
    stages[0]["$set"] = {
        name: value["$literal"] if isinstance(value, dict) and "$literal" in value else value
        for name, value in stages[0]["$set"].items()
    }
    return stages


def vars_of(options: ManagerOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in type(options).__dataclass_fields__}


@mutant("x84", "quotes doubled in labels", clause="BAD-03")
class QuotesDoubledInLabels(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": row["label"].replace("'", "''")}


@mutant("x95", "payloads of any size", clause="BAD-01")
class PayloadsUnlimited(MemoryMutant):
    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, ManagerOptions(**{**vars_of(options), "maximum_payload_bytes": 4_194_304}))


@mutant("x96", "an impossible key is refused", clause="BAD-02")
class ImpossibleKeyRefused(MemoryMutant):
    def get_tasks_by_key(self, task_key: str, *args: Any, **kwargs: Any) -> LookupResult:
        if isinstance(task_key, str) and not fits(task_key, MAXIMUM_KEY_BYTES):
            raise InvalidInputError("no task can have this key", field="task_key")
        return super().get_tasks_by_key(task_key, *args, **kwargs)


@mutant("x147", "long texts are truncated silently", clause="BAD-01")
class LabelsNotChecked(PatchedFacade):
    """Truncates a text that is too long, without an error."""

    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.domain.task:check_text",
            lambda value, field, maximum, **_: str(value).encode()[:maximum].decode(errors="ignore"),
        ),
    )


@mutant("x200", "texts as expressions in MongoDB", clause="BAD-03")
class ExpressionsInMongo(MongoMutant):
    """Passes values to an update without `$literal`, so that a text that begins with a dollar names a field."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        with mock.patch.object(manager, "pipeline", without_literals):
            return super().store_update(task_id, organization, change, deadline)


@mutant("s57", "an import in one statement", clause="BAD-01", on="mariadb")
class ImportInOneStatement(ChangedConnections):
    """Sends an import as one INSERT of any size; MariaDB accepts at most 16 MiB."""

    def changed(self, connection: Any) -> Any:
        def load(insert: str, rows: Iterable[Sequence[Any]], deadline: float) -> None:
            together = list(rows)
            if together:
                head, _, values = insert.partition(" VALUES ")
                sql = f"{head} VALUES {', '.join([values] * len(together))}"
                connection.execute(sql, list(itertools.chain.from_iterable(together)), deadline)

        connection.load = load
        return connection


@mutant("s62", "payloads of 64 KiB", clause="BAD-01")
class PayloadsOf64KiB(SQLMutant):
    """Stores results, confirmations and arguments in columns of at most 65,535 bytes."""

    def refuse(self, values: Mapping[str, Any]) -> None:
        for name in ("result", "confirmation", "arguments"):
            if len((values.get(name) or "").encode()) > 65_535:
                raise sqlite3.DataError(f"data too long for column {name}")

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.refuse(record._asdict())
        return super().store_create(record, deadline)

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        for record in records:
            self.refuse(record._asdict())
        return super().store_import(records, deadline)

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        self.refuse(change.fields)
        return super().store_update(task_id, organization, change, deadline)
