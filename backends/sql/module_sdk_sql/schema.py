"""The tables and indexes, and the numbered steps from one version of them to the next.

Each column and index has the version that introduced it. Step n is the difference between the tables of versions n-1
and n. A released step must never change: a new version adds columns and indexes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Index, MetaData, Table
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from module_sdk.backends import (
    MAXIMUM_IDENTIFIER_BYTES,
    MAXIMUM_KEY_BYTES,
    MAXIMUM_LABEL_BYTES,
    MAXIMUM_MODULE_BYTES,
)

SCHEMA_VERSION: Final = 1

PAYLOAD_COLUMNS: Final = ("checkpoint", "result", "error", "confirmation", "function_name", "arguments")
"""The columns that no lookup reads. `function` is a reserved word in MySQL."""

TASK_ID_BYTES: Final = 36


class ColumnTypes(NamedTuple):
    """The column types of one database. All text must be compared by bytes."""

    key_text: Any
    """Returns, for a maximum number of bytes, the type of text that is compared."""
    long_text: TypeEngine[Any]
    integer: TypeEngine[Any]
    real: TypeEngine[Any]
    table_options: dict[str, Any]
    """Keyword arguments of SQLAlchemy's `Table`."""


class Tables:
    """The tables of one namespace as of one version of the schema."""

    def __init__(
        self, namespace: str, types: ColumnTypes, *, separate_payload_table: bool, version: int = SCHEMA_VERSION
    ) -> None:
        self.namespace = namespace
        self.types = types
        self.separate_payload_table = separate_payload_table
        self.version = version
        self.tasks_name = f"{namespace}__tasks"
        self.payloads_name = f"{namespace}__tasks_payloads" if separate_payload_table else self.tasks_name
        self.meta_name = f"{namespace}__tasks_meta"
        self.by_user = f"{self.tasks_name}_by_user"
        self.by_key = f"{self.tasks_name}_by_key"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tables, each once."""
        return tuple(dict.fromkeys((self.meta_name, self.tasks_name, self.payloads_name)))

    @functools.cached_property
    def metadata(self) -> MetaData:
        """The tables for SQLAlchemy. They are needed for DDL only, so the first lookup does not build them."""
        metadata = MetaData()
        self.build(metadata)
        return metadata

    def at_version(self, version: int) -> Tables:
        """Return the same tables as of another version."""
        return Tables(self.namespace, self.types, separate_payload_table=self.separate_payload_table, version=version)

    def build(self, metadata: MetaData) -> None:
        if self.version == 0:
            return
        text, long_text = self.types.key_text, self.types.long_text
        self.add_table(
            metadata, self.meta_name, [(1, Column("name", text(64), primary_key=True)), (1, Column("value", text(64)))]
        )
        payloads = [(1, Column(name, long_text)) for name in PAYLOAD_COLUMNS]
        tasks = self.add_table(
            metadata, self.tasks_name, [*self.task_columns(), *([] if self.separate_payload_table else payloads)]
        )
        if self.separate_payload_table:
            task_id = Column("id", text(TASK_ID_BYTES), primary_key=True)
            self.add_table(metadata, self.payloads_name, [(1, task_id), *payloads])
        for since, index in self.task_indexes(tasks):
            if since <= self.version:
                tasks.append_constraint(index)

    def task_columns(self) -> Iterator[tuple[int, Column[Any]]]:
        text, integer = self.types.key_text, self.types.integer
        yield 1, Column("id", text(TASK_ID_BYTES), primary_key=True)
        yield 1, Column("module", text(MAXIMUM_MODULE_BYTES), nullable=False)
        yield 1, Column("label", text(MAXIMUM_LABEL_BYTES), nullable=False)
        yield 1, Column("status", text(32), nullable=False)
        yield 1, Column("progress", self.types.real, nullable=False)
        yield 1, Column("task_key", text(MAXIMUM_KEY_BYTES))
        yield 1, Column("user_id", text(MAXIMUM_IDENTIFIER_BYTES), nullable=False)
        yield 1, Column("organization_id", text(MAXIMUM_IDENTIFIER_BYTES), nullable=False)
        yield 1, Column("created_at", integer, nullable=False)
        yield 1, Column("updated_at", integer, nullable=False)
        yield 1, Column("active_key", text(MAXIMUM_KEY_BYTES))
        yield 1, Column("started_at", integer)
        yield 1, Column("finished_at", integer)

    def task_indexes(self, tasks: Table) -> Iterator[tuple[int, Index]]:
        column, name = tasks.c, self.tasks_name
        active = column.active_key.is_not(None)
        yield 1, Index(self.by_user, column.organization_id, column.user_id, column.created_at, column.id)
        yield 1, Index(self.by_key, column.organization_id, column.task_key, column.created_at, column.id)
        yield (
            1,
            Index(
                f"{name}_active",
                column.organization_id,
                column.active_key,
                unique=True,
                sqlite_where=active,
                postgresql_where=active,
            ),
        )
        yield 1, Index(f"{name}_by_organization_update", column.organization_id, column.updated_at, column.id)
        yield 1, Index(f"{name}_by_update", column.updated_at, column.id)

    def add_table(self, metadata: MetaData, name: str, columns: list[tuple[int, Column[Any]]]) -> Table:
        known = [column for since, column in columns if since <= self.version]
        return Table(name, metadata, *known, **self.types.table_options)


def step_statements(before: Tables, after: Tables, compiler: Compiler) -> Iterator[str]:
    """Return the DDL that changes the tables of one version to those of the next."""
    for table in after.metadata.sorted_tables:
        old = before.metadata.tables.get(table.name)
        if old is None:
            yield str(CreateTable(table).compile(dialect=compiler)).strip()
        else:
            for column in table.columns:
                if column.name not in old.columns:
                    definition = CreateColumn(column).compile(dialect=compiler)
                    yield f"ALTER TABLE {table.name} ADD COLUMN {definition}"
        old_indexes = set() if old is None else {index.name for index in old.indexes}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in old_indexes:
                yield str(CreateIndex(index).compile(dialect=compiler)).strip()
