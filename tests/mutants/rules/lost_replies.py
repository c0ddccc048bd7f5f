"""Mutants that handle a lost reply to a write wrongly, or the retry after it."""

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
    """Sends an update again over another connection, as for a read. The second try finds the task already ended."""

    def run(self, original: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        is_update = script.text == scripts.UPDATE.text
        return original(script, *args, **({**kwargs, "idempotent": True} if is_update else kwargs))


@mutant("t312", "a transaction whose reply was lost is run again", clause="FAIL-09", on="postgresql")
class WriteRunAgain(SQLMutant):
    """Runs a write again if the connection was lost, as if the first try had never been committed."""

    def retry_on_deadlock(self, write: Callable[[], Any], deadline: float) -> Any:
        try:
            return super().retry_on_deadlock(write, deadline)
        except Exception as error:
            if not self.dialect.is_unavailable(error) or time.monotonic() >= deadline:
                raise
            return super().retry_on_deadlock(write, deadline)


@mutant("t313", "an update whose reply was lost is reported as an unknown id", clause="FAIL-09")
class LostUpdateIsUnknown(OverTheWire):
    """Returns `None`, as for an unknown id, if the reply to an update is lost."""

    def update(self, task_id: Any, **fields: Any) -> Any:
        try:
            return super().update(task_id, **fields)
        except TaskBackendUnavailableError:
            return None


@mutant("t314", "the stored task after a lost reply is taken for success", clause="FAIL-09")
class StoredTaskIsSuccess(MongoMutant):
    """Reads the task after a failed update, and returns it as the row of the update."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        try:
            return super().store_update(task_id, organization, change, deadline)
        except Exception:
            stored = self.store_get(task_id, organization, deadline)
            if stored is None:
                raise
            return stored.row()


@mutant("t315", "a failed update is applied later", clause="FAIL-09")
class FailedUpdateMadeLater(OverTheWire):
    """Remembers an update that raised an error, and applies it after the next call that succeeds."""

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


@mutant("t316", "the retry of an end overwrites another end", clause="LIFE-02")
class SecondTryOverwrites(OverTheWire):
    """After a lost reply, records the next end of that task whatever its status is."""

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


@mutant("t317", "interrupting many is retried after a lost reply and counts none", clause="FAIL-09")
class ManyEndsMadeAgain(OverTheWire):
    """Interrupts many tasks again if the reply was lost, and returns how many tasks the second try changed."""

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(primitive, *args, **kwargs)
        except TaskBackendUnavailableError:
            if primitive.__name__ != "store_update_many":
                raise
            return primitive(*args, **kwargs)
