"""Bringing the schema of a namespace to the version of this code; safe from several processes at once."""

from __future__ import annotations

from collections.abc import Sequence

from module_sdk_sql.dialects.base import Connection, StoredTuple
from module_sdk_sql.queries import Statements
from module_sdk_sql.schema import step_statements


def has_table(link: Connection, statements: Statements, name: str, deadline: float) -> bool:
    statement = statements.has_table()
    return bool(link.fetch(statement.sql, statement.bind({"name": name}), deadline))


def read_version(link: Connection, statements: Statements, deadline: float) -> int:
    """The version that the store has; 0 for a namespace with no schema. Raises `ValueError` for a version of nobody."""
    if not has_table(link, statements, statements.tables.meta_name, deadline):
        return 0
    return version_in(link.fetch(statements.read_version().sql, (), deadline))


def version_in(rows: Sequence[StoredTuple | None]) -> int:
    """What `read_version` or `check_version` selected, as a number."""
    return int(rows[0][0]) if rows and rows[0] is not None else 0


def read_whole_version(link: Connection, statements: Statements, deadline: float) -> int:
    """`read_version`; 0 where a table is missing too, since somebody has dropped it."""
    found = read_version(link, statements, deadline)
    if found > statements.tables.version:
        return found
    is_whole = all(has_table(link, statements, name, deadline) for name in statements.tables.names[1:])
    return found if is_whole else 0


def upgrade(link: Connection, statements: Statements, deadline: float) -> int:
    """Run every step that is missing, in order, and record the version; the version found before.

    Where a table or the version is missing, every step runs again: each leaves alone what is there.
    """
    newest = statements.tables
    dialect = statements.dialect
    with dialect.setup_transaction(link, newest.namespace, deadline):
        # Read again: another process may have been here since.
        found = read_whole_version(link, statements, deadline)
        for version in range(found + 1, newest.version + 1):
            before, after = newest.at_version(version - 1), newest.at_version(version)
            for sql in step_statements(before, after, dialect.compiler):
                dialect.define(link, sql, deadline)
        if found < newest.version:
            link.execute(statements.delete_version().sql, (), deadline)
            link.execute(statements.insert_version().sql, [str(newest.version)], deadline)
    return found
