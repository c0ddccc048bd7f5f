"""Mutants of the rules of failures of a store."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar
from unittest import mock

import redis
from module_sdk_redis import index_reads, records
from module_sdk_redis.schema import time_value

from module_sdk.backends import (
    TaskBackendError,
    TaskBackendUnavailableError,
    TaskRecord,
    statuses,
)
from module_sdk.domain.rows import LookupResult, rows_from_stored
from tests.mutants.marking import mutant
from tests.mutants.stores.facade import original
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import ChangedCalls, RedisMutant
from tests.mutants.stores.sql import SQLMutant
from tests.mutants.stores.wire import OverTheWire

ANSWER = original("module_sdk.facade.lookup_calls:try_look_up")


ASOFT = original("module_sdk.facade.lookup_calls:alook_up")


def unpack_all_ten(records: Iterable[bytes | None]) -> list[records.Row | None]:
    return [unpack_ten(packed) for packed in records if packed is not None]


def unpack_ten(packed: bytes) -> records.Row | None:
    row = records.unpack(packed)
    parts = packed.split(b"\0")
    if row is None and len(parts) == 10:
        # One of these raises.
        packed.decode()
        return (float(parts[4]), time_value(parts[8]), time_value(parts[9]))
    return row


def out_of_range(*_: Any) -> None:
    raise ValueError("timeout value out of range")


@mutant("56", "exception swallowed in the manager", clause="FAIL-02")
class ErrorsSwallowed(MemoryMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        try:
            return super().find(primitive, arguments, limit, timeout_seconds)
        except TaskBackendError:
            return LookupResult()


@mutant("57", "driver error leaks untyped", clause="FAIL-09")
class ErrorsUntyped(MemoryMutant):
    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return primitive(*args, **kwargs)


@mutant("58", "hang on a silent server", clause="FAIL-06")
class HangsOnASilentServer(OverTheWire):
    """Waits for a reply without end."""

    def patience(self, deadline: float) -> float | None:
        return None


@mutant("59", "cut answer returned as an answer", clause="FAIL-07")
class CutAnswerIsAnAnswer(OverTheWire):
    """Is content with the first bytes of a reply."""

    def read(self, connection: socket.socket, deadline: float) -> None:
        connection.settimeout(self.patience(deadline))
        connection.recv(1_000)


@mutant("60", "unreadable record hides the rest", clause="FAIL-10")
class UnreadableHidesTheRest(MemoryMutant):
    def scoped(self, organization: str) -> list[TaskRecord]:
        found = super().scoped(organization)
        if any(record.status not in statuses.STATUSES for record in found):
            raise ValueError("a record cannot be read")
        return found


@mutant("r49", "write error swallowed", clause="FAIL-09")
class WriteErrorsSwallowed(MemoryMutant):
    def create(self, task: Any, *, timeout_seconds: float | None = None) -> Any:
        try:
            return super().create(task, timeout_seconds=timeout_seconds)
        except TaskBackendError:
            return task, True


@mutant("x13", "driver's error lost", clause="FAIL-09")
class CauseLost(MemoryMutant):
    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return primitive(*args, **kwargs)
        except Exception as error:
            failure = self.translate_error(error)
        raise failure


@mutant("x14", "unreadable records count for the limit", clause="FAIL-10")
class UnreadableTakesAPlace(MemoryMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        return rows_from_stored(self.call_open(primitive, *arguments, limit, self.deadline(timeout_seconds)))


@mutant("x44", "broken for ever after one failure", clause="FAIL-08")
class BrokenForEver(MemoryMutant):
    """Refuses all further use after one failure."""

    failed = False

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.failed and primitive.__name__ != "store_close":
            raise TaskBackendError("the connection is lost")
        try:
            return super().call(primitive, *args, **kwargs)
        except TaskBackendError:
            self.failed = True
            raise


@mutant("x45", "a descriptor leaks at each failure", clause="FAIL-13")
class LeaksDescriptors(MemoryMutant):
    """Leaves a connection behind at each failure."""

    left: ClassVar[list[socket.socket]] = []

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return super().call(primitive, *args, **kwargs)
        except TaskBackendError:
            self.left.append(socket.socket())
            raise

    def store_close(self) -> None:
        while self.left:
            self.left.pop().close()


@mutant("x46", "a dead server is an empty one", clause="FAIL-05")
class DeadServerIsEmpty(OverTheWire):
    """Finds nothing where there is nobody to ask."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        try:
            return super().find(primitive, arguments, limit, timeout_seconds)
        except TaskBackendUnavailableError:
            return LookupResult()


@mutant("x124", "a thread leaks at each failure", clause="FAIL-13")
class LeaksThreads(MemoryMutant):
    """Leaves a thread behind at each failure."""

    def translate_error(self, error: Exception) -> Any:
        threading.Thread(target=time.sleep, args=(8,), daemon=True).start()
        return super().translate_error(error)


@mutant("x148", "connecting takes as long as it takes", clause="FAIL-05")
class PatientConnecting(OverTheWire):
    """Gives a connection as long as it takes."""

    def connected(self, port: int, deadline: float) -> Any:
        return socket.create_connection(("127.0.0.1", port), timeout=8)


@mutant("x149", "a dead server's error has no type of its own", clause="FAIL-05")
class DeadServerUntyped(OverTheWire):
    """Says of a server that is away only that something failed."""

    def failed(self, error: OSError) -> TaskBackendError:
        return TaskBackendError(str(error))


@mutant("x150", "a deadline for each read", clause="FAIL-06")
class DeadlineOfEachRead(OverTheWire):
    """Begins to count anew with each byte that comes."""

    def patience(self, deadline: float) -> float | None:
        return 0.7


@mutant("x151", "half an answer is an answer", clause="FAIL-07")
class ShortAnswer(OverTheWire):
    """Takes what came for the whole answer."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        self.__dict__["cut"] = False
        found = super().find(primitive, arguments, limit, timeout_seconds)
        return LookupResult(found[: len(found) // 2]) if self.__dict__["cut"] else found

    def read(self, connection: socket.socket, deadline: float) -> None:
        try:
            super().read(connection, deadline)
        except (ConnectionError, TimeoutError):
            self.__dict__["cut"] = True


@mutant("x152", "no try after a reset", clause="FAIL-08")
class SulksAfterAReset(OverTheWire):
    """Never tries again once a connection was reset or refused."""

    gone = False

    def connected(self, port: int, deadline: float) -> Any:
        if self.gone:
            raise ConnectionError("the server was away once")
        try:
            return super().connected(port, deadline)
        except ConnectionError:
            type(self).gone = False
            self.__dict__["gone"] = True
            raise


@mutant("x153", "a connection leaks at each failure", clause="FAIL-13")
class ConnectionsLeft(OverTheWire):
    """Keeps a connection that failed."""

    left_open: ClassVar[list[socket.socket]] = []

    def connected(self, port: int, deadline: float) -> Any:
        self.left_open.append(socket.socket())
        connection = super().connected(port, deadline)
        self.left_open.pop().close()
        return connection

    def store_close(self) -> None:
        while self.left_open:
            self.left_open.pop().close()


@mutant("s46", "a read that timed out is tried again", clause="FAIL-06")
class ReadsTriedAfterTheDeadline(ChangedCalls):
    """Tries a read that timed out once more, with as much time as it had."""

    def command(self, good: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return good(command, deadline, **kwargs)
        except redis.TimeoutError:
            if not kwargs.get("idempotent"):
                raise
            return good(command, time.monotonic() + deadline - started, **{**kwargs, "idempotent": False})


@mutant("s47", "a socket waits as long as the options say", clause="FAIL-06")
class SocketTimeoutOfTheOptions(ChangedCalls):
    """Waits as long as the options say, whatever the call's own deadline is."""

    def command(self, good: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        return good(command, time.monotonic() + self.options.timeout_seconds, **kwargs)


@mutant("s49", "unreadable only without ten fields", clause="FAIL-10")
class OnlyFieldsCounted(RedisMutant):
    """Raises where one of ten fields is no number or no UTF-8."""

    def find(self, *args: Any) -> LookupResult:
        with mock.patch.object(index_reads, "unpack_all", unpack_all_ten):
            return super().find(*args)


@mutant("s54", "pages without a deadline", clause="FAIL-06")
class PagesWithoutDeadline(MongoMutant):
    """Pages, counts and gets wait for an hour."""

    def on_worker(self, primitive: Callable[..., Any], *args: Any) -> Any:
        if primitive.__name__ in ("store_page", "store_count", "store_get"):
            args = (*args[:-1], args[-1] + 3_600)
        return super().on_worker(primitive, *args)


@mutant("s59", "no time left is any error", clause="FAIL-09")
class NoTimeLeftUntyped(SQLMutant):
    """A call that begins with no time left fails as whatever the driver says to that."""

    def call_open(self, primitive: Callable[..., Any], *args: Any) -> Any:
        return super().call_open(out_of_range if time.monotonic() >= args[-1] else primitive, *args)
