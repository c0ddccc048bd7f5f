"""Mutants that do wrong after the reply to a write was lost, or in the second try."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from module_sdk_redis import scripts
from module_sdk_redis.scripts import Script

from module_sdk.backends import Change, ManagerOptions, TaskBackendUnavailableError, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import ChangedCalls
from tests.mutants.stores.sql import SQLMutant
from tests.mutants.stores.wire import OverTheWire


@mutant("t311", "an update whose reply was lost is sent again", clause="FAIL-09")
class UpdateSentAgain(ChangedCalls):
    """Sends an update a second time over another connection, like a read: an end is then refused as if by another."""

    def run(self, good: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        is_update = script.text == scripts.UPDATE.text
        return good(script, *args, **({**kwargs, "idempotent": True} if is_update else kwargs))


@mutant("t312", "a transaction whose reply was lost is run again", clause="FAIL-09", on="postgresql")
class WriteRunAgain(SQLMutant):
    """Runs each write a second time where the connection was lost, as if nothing had been kept of it."""

    def retry_on_deadlock(self, write: Callable[[], Any], deadline: float) -> Any:
        try:
            return super().retry_on_deadlock(write, deadline)
        except Exception as error:
            if not self.dialect.is_unavailable(error) or time.monotonic() >= deadline:
                raise
            return super().retry_on_deadlock(write, deadline)


@mutant("t313", "an update whose reply was lost is one of an unknown id", clause="FAIL-09")
class LostUpdateIsUnknown(OverTheWire):
    """Returns `None`, as for an unknown id, where the reply to an update does not come."""

    def update(self, task_id: Any, **fields: Any) -> Any:
        try:
            return super().update(task_id, **fields)
        except TaskBackendUnavailableError:
            return None


@mutant("t314", "whatever stands after a lost reply is success", clause="FAIL-09")
class WhateverStandsIsSuccess(MongoMutant):
    """After an update that failed it reads the task, and returns that as the row of the update."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        try:
            return super().store_update(task_id, organization, change, deadline)
        except Exception:
            standing = self.store_get(task_id, organization, deadline)
            if standing is None:
                raise
            return standing.row()


@mutant("t315", "an update that failed is made later", clause="FAIL-09")
class FailedUpdateMadeLater(OverTheWire):
    """Remembers an update that raised an error, and makes it after the next call that the server answers."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.remembered: list[tuple[Any, ...]] = []

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            answer = super().call(primitive, *args, **kwargs)
        except TaskBackendUnavailableError:
            if primitive.__name__ == "store_update":
                self.remembered.append(args)
            raise
        while self.remembered and primitive.__name__ != "store_open":
            self.store_update(*self.remembered.pop())
        return answer


@mutant("t316", "the second try of an end overwrites what stands", clause="LIFE-02")
class SecondTryOverwrites(OverTheWire):
    """After a lost reply it makes the next end of that task whatever its status is, to have it recorded."""

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.unsure: set[str] = set()

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(primitive, *args, **kwargs)
        except TaskBackendUnavailableError:
            if primitive.__name__ == "store_update":
                self.unsure.add(args[0])
            raise

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if change.ends and task_id in self.unsure:
            self.unsure.remove(task_id)
            change = change._replace(allowed=tuple(statuses.STATUSES))
        return super().store_update(task_id, organization, change, deadline)


@mutant("t317", "many ends whose reply was lost are made again and counted as none", clause="FAIL-09")
class ManyEndsMadeAgain(OverTheWire):
    """Makes many ends a second time where the reply was lost, and returns how many the second time has changed."""

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(primitive, *args, **kwargs)
        except TaskBackendUnavailableError:
            if primitive.__name__ != "store_update_many":
                raise
            return primitive(*args, **kwargs)
