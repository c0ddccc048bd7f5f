"""Correct SQL stores, whose statements and connections can be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from module_sdk_sql.manager import SQLTaskManager
from module_sdk_sql.queries import Statement, Statements

from module_sdk.backends import ManagerOptions
from tests.mutants.stores.opening import Opened


class SQLMutant(Opened, SQLTaskManager):
    """A correct SQL store."""


class Rewritten(Statements):
    """Statements whose text a function changes first."""

    rewrite: Callable[[str], str]

    def render(self, sql: str) -> Statement:
        return super().render(self.rewrite(sql))


class SQLStatementMutant(SQLMutant):
    """A store with `replacements` for parts of every statement."""

    replacements: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        statements = Rewritten(self.dialect, self.tables)
        statements.rewrite = self.rewrite
        self.statements = statements

    def rewrite(self, sql: str) -> str:
        for old, new in self.replacements:
            sql = sql.replace(old, new)
        return sql


class ChangedConnections(SQLMutant):
    """A store that passes each new connection through `changed`."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        dialect: Any = self.dialect
        connect = dialect.connect
        dialect.connect = self.pool.connect = lambda deadline: self.changed(connect(deadline))

    def changed(self, connection: Any) -> Any:
        raise NotImplementedError
