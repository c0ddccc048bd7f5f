"""The declarations and hooks of a backend's suite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from module_sdk.backends import ConfigurationError
from module_sdk_contract.catalogue import CLAUSES
from module_sdk_contract.harness import Store, unknown
from module_sdk_contract.markers import clauses_of
from module_sdk_contract.report.selection import tier_and_seed
from module_sdk_contract.report.verdicts import Deviation


class StoreUnderTest:
    """The part of `TaskManagerContract` that a backend's suite overrides. It has no tests."""

    url: ClassVar[str] = ""
    """The URL of the store under test. Every test opens it with its own namespace."""
    deviations: ClassVar[Sequence[Deviation]] = ()
    """The clauses that the store is known to break."""
    time_limit_seconds: ClassVar[float] = 60
    """The time limit of each test."""
    opener: ClassVar[str] = "module_sdk:open_manager"
    """`module:name` of the function that opens a manager, if no entry point does. Worker processes import it too."""

    def manager_url(self, tmp_path: Path) -> str:
        """Return the URL for one test. Override it if the store is in the test's own folder."""
        if not self.url:
            raise ConfigurationError(f"{type(self).__name__} sets neither `url` nor `manager_url`")
        return self.url

    # --- Hooks: without one, the clauses that need it end as unknown --------------------------------------------------

    def dump(self, store: Store) -> Iterable[object]:
        """Yield everything in `store.namespace`, read without the manager: names of tables, rows, documents, keys.

        For a namespace that has not been set up, it must yield nothing or raise.
        """
        unknown("dump")

    def corrupt(self, store: Store, task_id: str) -> None:
        """Put a value that no manager writes into the stored record of that task."""
        unknown("corrupt")

    def dead_url(self, store: Store) -> str:
        """Return the URL of an existing store that cannot be reached or read: each call must raise `TaskBackendError`.

        For a store in a file, create such a file and overwrite it after its header, or truncate it. A location where no
        store can be (a folder, a file of another kind) is not such a URL: there calls raise `ConfigurationError`, which
        DISC-10 checks without a hook. For a server the suite finds a URL itself.
        """
        if "server" not in store.capabilities:
            unknown("dead_url")
        return store.dead_server_url()

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        """Hold, within the block, a lock that writers wait for, from another connection, process or thread."""
        unknown("hold_lock")

    def restart_server(self, store: Store) -> None:
        """Kill the server with SIGKILL, start it again with the same data and URL, and return once it answers."""
        unknown("restart_server")

    def direct_url(self, url: str) -> str:
        """Return the URL of a proxy with the setting that keeps the driver from discovering servers behind it."""
        return url

    def write_newer_schema(self, store: Store) -> None:
        """Make the store in `store.namespace` look as if a later version of the backend had written it."""
        unknown("write_newer_schema")

    def empty_store(self, store: Store) -> None:
        """Drop everything that `setup` made in `store.namespace`, including the tasks, without telling the manager."""
        unknown("empty_store")

    @pytest.fixture
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
        clauses = clauses_of(request.node)
        store = Store(self, tmp_path, clauses, seed=tier_and_seed(request.config)[1])
        try:
            store.begin()
            capability = CLAUSES[clauses[0]].capability
            if capability is not None:
                store.need(capability)
            yield store
        finally:
            store.close()
