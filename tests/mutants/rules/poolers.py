"""Mutants of the rule that no state of a PostgreSQL session outlives its transaction behind a pooler."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.mutants.marking import mutant
from tests.mutants.stores.sql import SQLMutant


@mutant("g1", "statements are prepared by name behind a pooler", clause="SEE-02", on="pooler")
class PreparesBehindAPooler(SQLMutant):
    """Assumes that each connection has its own session, and numbers its prepared statements from zero."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        dialect: Any = self.dialect
        dialect.options = dataclasses.replace(dialect.options, is_pooled=False)
        dialect.lost_role = dialect.is_deadlock = lambda error: False
        dialect.check_role = lambda connection, deadline: True
        connect = dialect.connect
        dialect.connect = self.pool.connect = lambda deadline: self.renumbered(connect(deadline))

    def renumbered(self, connection: Any) -> Any:
        connection.raw._prepared._prepared_idx = 0
        return connection
