"""Mutants of the rules of discovery and of the lifecycle of a manager."""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
from typing import Any, ClassVar

from module_sdk_memory.filters import matches, sort_key
from module_sdk_memory.manager import Tables
from module_sdk_sql import schema
from module_sdk_sql.pool import Pool
from module_sdk_sql.queries import Statements

from module_sdk.backends import ConfigurationError, ManagerOptions, Query, Sort, StoredRows, TaskBackendError
from tests.mutants.marking import mutant
from tests.mutants.stores.facade import Patch, PatchedFacade
from tests.mutants.stores.importing import ImportsNoOther
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant, SQLStatementMutant
from tests.mutants.stores.wire import OverTheWire


@mutant("61", "credentials in repr", clause="DISC-03")
class CredentialsInRepr(MemoryMutant):
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url.text}>"


@mutant("62", "two namespaces share an index", clause="DISC-05")
class NamespacesShareAnIndex(MemoryMutant):
    """Ignores the letters a and b and underscores at the end of a namespace."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        key = ("shared", options.namespace.rstrip("ab_"))
        self.tables = self.shared_tables.setdefault(key, Tables())


@mutant("x16", "a closed manager still answers", clause="DISC-06")
class UsableAfterClose(MemoryMutant):
    def close(self) -> None:
        pass


@mutant("x17", "setup empties the store", clause="DISC-04")
class SetupEmptiesTheStore(MemoryMutant):
    def setup(self, *, timeout_seconds: float | None = None) -> None:
        super().setup(timeout_seconds=timeout_seconds)
        for record in list(self.tables.records.values()):
            self.tables.remove(record)


@mutant("x122", "prune crosses namespaces", clause="DISC-05")
class PruneCrossesNamespaces(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        removed, own = 0, self.tables
        for tables in list(self.shared_tables.values()):
            self.tables = tables
            removed += super().store_prune(before, organization, user, batch_size, deadline)
        self.tables = own
        return min(removed, batch_size - 1)


@mutant("x125", "a password in the log", clause="DISC-03")
class PasswordLogged(MemoryMutant):
    def store_open(self, create: bool, deadline: float) -> None:
        logging.getLogger("module_sdk.tasks").info("opening %s", self.url.text)
        super().store_open(create, deadline)


@mutant("x126", "a second close raises", clause="DISC-06")
class SecondCloseRaises(MemoryMutant):
    def close(self) -> None:
        if self.opening.is_closed:
            raise TaskBackendError("closed already")
        super().close()


@mutant("x127", "another backend is imported", clause="DISC-01")
class ImportsAnother(ImportsNoOther):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        importlib.import_module("module_sdk_redis.plugin")


@mutant("x128", "the installed schemes are not named", clause="DISC-02")
class SchemesNotNamed(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.plugins.registry:Registry.schemes", lambda self: []),)


@mutant("x155", "a ping swallows errors", clause="DISC-07")
class PingSwallowsErrors(OverTheWire):
    def ping(self, *, timeout_seconds: float | None = None) -> None:
        with contextlib.suppress(TaskBackendError):
            super().ping(timeout_seconds=timeout_seconds)


@mutant("x174", "a racing setup", clause="DISC-04", race=True)
class SetupRaces(SQLStatementMutant):
    """Looks for a table, and creates it 20 ms later if it is missing."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        name = f"{self.options.namespace}__extra"
        rows = self.pool.fetch("SELECT 1 FROM sqlite_master WHERE name = ?", [name], deadline)
        if create and not rows:
            time.sleep(0.02)
            self.pool.execute(f"CREATE TABLE {name} (a)", (), deadline)


@mutant("s18", "pages cross namespaces", clause="DISC-05")
class PagesCrossNamespaces(MemoryMutant):
    """Scans every namespace whose name begins with that of the manager."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        location = self.url.text.partition("://")[2]
        chosen = [
            record
            for (name, namespace), tables in list(self.shared_tables.items())
            if name == location and namespace.startswith(self.options.namespace)
            for record in tables.records.values()
            if query.organization in (None, record.organization_id) and matches(record, query.conditions)
        ]
        chosen.sort(key=lambda record: sort_key(record, sort), reverse=sort.descending)
        return [record.row() for record in chosen[offset : offset + limit]]


@mutant("s39", "closing one manager closes others", clause="DISC-06")
class ClosingOneClosesOthers(SQLMutant):
    """Managers of one URL share a pool, which the first manager to close closes."""

    pools: ClassVar[dict[str, Pool]] = {}

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        shared = self.pools.get(self.url.text)
        if shared is None or shared.is_closed:
            shared = self.pools[self.url.text] = self.pool
        self.pool = shared


@mutant("s45", "a ping that trusts an idle connection", clause="DISC-07")
class PingWithoutATrip(RedisMutant):
    """Asks the server only if the pool has no idle connection."""

    def store_ping(self, deadline: float) -> None:
        if not any(each.members for each in self.pool.pools.values()):
            super().store_ping(deadline)


@mutant("s55", "namespaces cut at 20 characters", clause="DISC-05", on="postgresql")
class NamespaceCut(SQLMutant):
    """Names tables by the first 20 characters of the namespace."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        namespace = options.namespace[:20]
        self.tables = schema.Tables(
            namespace, self.dialect.types, separate_payload_table=self.dialect.separate_payload_table
        )
        self.statements = Statements(self.dialect, self.tables)


@mutant("s63", "the cause of a failed opening is lost", clause="DISC-07")
class CauseOfOpeningLost(SQLMutant):
    """Raises the error of a failed opening without its cause."""

    def store_open(self, create: bool, deadline: float) -> None:
        try:
            super().store_open(create, deadline)
        except Exception as error:
            failure = error if isinstance(error, ConfigurationError) else self.translate_error(error)
        else:
            return
        raise type(failure)(str(failure))
