"""What a backend's suite tells about its store, and what it may help with."""

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
    """The part of `TaskManagerContract` that a suite fills in; it has no tests."""

    url: ClassVar[str] = ""
    """The store under test. Every test opens it with a namespace of its own."""
    deviations: ClassVar[Sequence[Deviation]] = ()
    time_limit_seconds: ClassVar[float] = 60
    """Of each test."""
    opener: ClassVar[str] = "module_sdk:open_manager"
    """`module:name` of what opens a manager, for one that no entry point serves; worker processes import it too."""

    def manager_url(self, tmp_path: Path) -> str:
        """The URL for one test; override it where the store lies in the test's own folder."""
        if not self.url:
            raise ConfigurationError(f"{type(self).__name__} sets neither `url` nor `manager_url`")
        return self.url

    # --- Hooks: without them the clauses that need them end as unknown ------------------------------------------------

    def dump(self, store: Store) -> Iterable[object]:
        """Everything that lies in `store.namespace`, past the manager: names of tables, rows, documents, keys.

        Where nobody has set the namespace up, it yields nothing, or raises.
        """
        unknown("dump")

    def corrupt(self, store: Store, task_id: str) -> None:
        """Put a value into the stored record of that task that no manager writes."""
        unknown("corrupt")

    def dead_url(self, store: Store) -> str:
        """The URL of a store that is there and cannot be reached or read; each call raises `TaskBackendError`.

        For a store in a file, make such a file and overwrite it past its header, or cut it off. A place where no store
        can be (a folder, a file of something else) is another case: it raises `ConfigurationError`, and DISC-10 judges
        it without a hook. For a server the suite finds a URL itself.
        """
        if "server" not in store.capabilities:
            unknown("dead_url")
        return store.dead_server_url()

    def hold_lock(self, store: Store) -> contextlib.AbstractContextManager[object]:
        """While in the block, a connection, process or thread of somebody else's holds what writers wait for."""
        unknown("hold_lock")

    def restart_server(self, store: Store) -> None:
        """Kill the server with SIGKILL, start it again on the same data and URL, and return once it answers."""
        unknown("restart_server")

    def direct_url(self, url: str) -> str:
        """The URL of a proxy before the server, with what keeps the driver from looking for servers past it."""
        return url

    def write_newer_schema(self, store: Store) -> None:
        """Make the store in `store.namespace` look as if a later version of the backend had written it."""
        unknown("write_newer_schema")

    def empty_store(self, store: Store) -> None:
        """Drop what `setup` made in `store.namespace`, tasks and all, behind the manager's back."""
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
