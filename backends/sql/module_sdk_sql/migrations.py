"""The upgrade of a namespace's schema to the version of this code, which several processes may run at once."""

from __future__ import annotations

from collections.abc import Sequence

from module_sdk_sql.dialects.base import Connection, StoredTuple
from module_sdk_sql.queries import Statements
from module_sdk_sql.schema import step_statements


def has_table(connection: Connection, statements: Statements, name: str, deadline: float) -> bool:
    statement = statements.has_table()
    return bool(connection.fetch(statement.sql, statement.bind({"name": name}), deadline))


def read_version(connection: Connection, statements: Statements, deadline: float) -> int:
    """Return the version of the store's schema, or 0 without a schema. Raises `ValueError` if it is not a number."""
    if not has_table(connection, statements, statements.tables.meta_name, deadline):
        return 0
    return version_in(connection.fetch(statements.read_version().sql, (), deadline))


def version_in(rows: Sequence[StoredTuple | None]) -> int:
    """Return the version in rows of the statement `read_version` or `check_version`; 0 if there is none."""
    return int(rows[0][0]) if rows and rows[0] is not None else 0


def read_whole_version(connection: Connection, statements: Statements, deadline: float) -> int:
    """Return `read_version`, but 0 if a table is missing, which somebody must have dropped."""
    found = read_version(connection, statements, deadline)
    if found > statements.tables.version:
        return found
    is_whole = all(has_table(connection, statements, name, deadline) for name in statements.tables.names[1:])
    return found if is_whole else 0


def upgrade(connection: Connection, statements: Statements, deadline: float) -> int:
    """Run all missing steps in order, record the new version, and return the version before.

    If a table or the version is missing, all steps run again. Each leaves existing tables, columns and indexes alone.
    """
    newest = statements.tables
    dialect = statements.dialect
    with dialect.setup_transaction(connection, newest.namespace, deadline):
        # Another process may have upgraded the schema since it was last read.
        found = read_whole_version(connection, statements, deadline)
        for version in range(found + 1, newest.version + 1):
            before, after = newest.at_version(version - 1), newest.at_version(version)
            for sql in step_statements(before, after, dialect.compiler):
                dialect.define(connection, sql, deadline)
        if found < newest.version:
            connection.execute(statements.delete_version().sql, (), deadline)
            connection.execute(statements.insert_version().sql, [str(newest.version)], deadline)
    return found
