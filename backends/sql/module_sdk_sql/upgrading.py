"""Bringing the schema of a namespace to the version of this code; safe from several processes at once."""

from __future__ import annotations

from module_sdk_sql.dialects.base import Link
from module_sdk_sql.schema import step_statements
from module_sdk_sql.statements import Statements


def read_version(link: Link, statements: Statements, deadline: float) -> int:
    """The version that the store has; 0 for a namespace with no schema. Raises `ValueError` for a version of nobody."""
    has_meta = statements.has_meta()
    if not link.fetch(has_meta.sql, has_meta.bind({"name": statements.tables.meta_name}), deadline):
        return 0
    rows = link.fetch(statements.read_version().sql, (), deadline)
    if not rows or rows[0] is None:
        return 0
    return int(rows[0][0])


def upgrade(link: Link, statements: Statements, deadline: float) -> int:
    """Run every step that is missing, in order, and record the version; the version found before."""
    newest = statements.tables
    dialect = statements.dialect
    with dialect.setup_transaction(link, newest.namespace, deadline):
        # Read again: another process may have been here since.
        found = read_version(link, statements, deadline)
        for version in range(found + 1, newest.version + 1):
            before, after = newest.at_version(version - 1), newest.at_version(version)
            for sql in step_statements(before, after, dialect.compiler):
                dialect.define(link, sql, deadline)
        if found < newest.version:
            link.execute(statements.delete_version().sql, (), deadline)
            link.execute(statements.insert_version().sql, [str(newest.version)], deadline)
    return found
