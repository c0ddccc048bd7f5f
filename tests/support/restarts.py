"""A base class for suites of the contract whose server was started by the tests."""

from __future__ import annotations

from module_sdk_contract.harness import Store, unknown

from devtools.servers.process import restart_server_of


class RestartsServer:
    """The hook of SEE-08, for a suite to inherit besides `TaskManagerContract`."""

    def restart_server(self, store: Store) -> None:
        if not restart_server_of(store.url):
            unknown("restart_server")
