"""What a suite of the contract adds whose server is one of the tests' own."""

from __future__ import annotations

from module_sdk_contract.harness import Store, unknown

from devtools.servers.process import restart_server_of


class RestartsServer:
    """The hook of clause SEE-08, as a base beside `TaskManagerContract`."""

    def restart_server(self, store: Store) -> None:
        if not restart_server_of(store.url):
            unknown("restart_server")
