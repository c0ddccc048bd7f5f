"""SEE-08 catches a server that writes nothing to disk if its manager declares the capability `durable`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from module_sdk_contract import TaskManagerContract
from module_sdk_contract.harness import Store
from module_sdk_contract.violations import ContractViolation
from module_sdk_redis.manager import RedisTaskManager

from devtools.servers.kinds import Valkey
from module_sdk.backends import ManagerOptions
from tests.support.restarts import RestartsServer


class DeclaresDurable(RedisTaskManager):
    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        self.capabilities = dataclasses.replace(self.capabilities, durable=True)


def open_manager(url: str, **options: Any) -> RedisTaskManager:
    return DeclaresDurable(url, ManagerOptions(**options))


class Suite(RestartsServer, TaskManagerContract):
    __test__ = False
    opener = f"{__name__}:open_manager"


@pytest.fixture
def forgetful_url() -> Iterator[str]:
    if Valkey.find_binary() is None:
        pytest.skip(Valkey.missing())
    with Valkey("--appendonly", "no") as server:
        yield server.url


def test_a_server_that_loses_its_data_breaks_see_08(forgetful_url: str, tmp_path: Path) -> None:
    suite = Suite()
    Suite.url = forgetful_url
    store = Store(suite, tmp_path, ("SEE-08",))
    store.begin()

    with pytest.raises(ContractViolation, match="SEE-08: A durable server that is killed"):
        suite.test_a_killed_server_loses_nothing(store)

    store.close()
