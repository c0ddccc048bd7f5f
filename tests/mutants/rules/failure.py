"""Mutants of the rules about failures of a store."""

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

TRY_LOOK_UP = original("module_sdk.facade.lookup_calls:try_look_up")


ALOOK_UP = original("module_sdk.facade.lookup_calls:alook_up")


def unpack_all_ten(records: Iterable[bytes | None]) -> list[records.Row | None]:
    return [unpack_ten(packed) for packed in records if packed is not None]


def unpack_ten(packed: bytes) -> records.Row | None:
    row = records.unpack(packed)
    parts = packed.split(b"\0")
    if row is None and len(parts) == 10:
        # One of these conversions raises.
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
    """Waits for a reply without a time limit."""

    def patience(self, deadline: float) -> float | None:
        return None


@mutant("59", "cut answer returned as an answer", clause="FAIL-07")
class CutAnswerIsAnAnswer(OverTheWire):
    """Reads only the first bytes of a reply."""

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


@mutant("x13", "the driver's error is lost", clause="FAIL-09")
class CauseLost(MemoryMutant):
    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return primitive(*args, **kwargs)
        except Exception as error:
            failure = self.translate_error(error)
        raise failure


@mutant("x14", "unreadable records count towards the limit", clause="FAIL-10")
class UnreadableCountsTowardsTheLimit(MemoryMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        return rows_from_stored(self.call_open(primitive, *arguments, limit, self.deadline(timeout_seconds)))


@mutant("x44", "broken for ever after one failure", clause="FAIL-08")
class BrokenForEver(MemoryMutant):
    """Fails every call after the first failure."""

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
    """Leaves a socket open at each failure."""

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


@mutant("x46", "a dead server is read as an empty store", clause="FAIL-05")
class DeadServerIsEmpty(OverTheWire):
    """Returns an empty result if the server is unavailable."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        try:
            return super().find(primitive, arguments, limit, timeout_seconds)
        except TaskBackendUnavailableError:
            return LookupResult()


@mutant("x124", "a thread leaks at each failure", clause="FAIL-13")
class LeaksThreads(MemoryMutant):
    """Leaves a thread running at each failure."""

    def translate_error(self, error: Exception) -> Any:
        threading.Thread(target=time.sleep, args=(8,), daemon=True).start()
        return super().translate_error(error)


@mutant("x148", "connecting ignores the deadline", clause="FAIL-05")
class PatientConnecting(OverTheWire):
    """Waits for a connection for eight seconds, whatever the deadline is."""

    def connected(self, port: int, deadline: float) -> Any:
        return socket.create_connection(("127.0.0.1", port), timeout=8)


@mutant("x149", "a dead server's error has no type of its own", clause="FAIL-05")
class DeadServerUntyped(OverTheWire):
    """Raises the general error for a server that is away."""

    def failed(self, error: OSError) -> TaskBackendError:
        return TaskBackendError(str(error))


@mutant("x150", "a time limit per read instead of per call", clause="FAIL-06")
class DeadlineOfEachRead(OverTheWire):
    """Starts the time limit again with each byte that arrives."""

    def patience(self, deadline: float) -> float | None:
        return 0.7


@mutant("x151", "half an answer is taken for the whole", clause="FAIL-07")
class ShortAnswer(OverTheWire):
    """Returns the rows that arrived before the connection was cut."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        self.__dict__["cut"] = False
        found = super().find(primitive, arguments, limit, timeout_seconds)
        return LookupResult(found[: len(found) // 2]) if self.__dict__["cut"] else found

    def read(self, connection: socket.socket, deadline: float) -> None:
        try:
            super().read(connection, deadline)
        except (ConnectionError, TimeoutError):
            self.__dict__["cut"] = True


@mutant("x152", "no retry after a reset", clause="FAIL-08")
class SulksAfterAReset(OverTheWire):
    """Fails every call after a connection was once reset or refused."""

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
    """Leaves a failed connection open."""

    left_open: ClassVar[list[socket.socket]] = []

    def connected(self, port: int, deadline: float) -> Any:
        self.left_open.append(socket.socket())
        connection = super().connected(port, deadline)
        self.left_open.pop().close()
        return connection

    def store_close(self) -> None:
        while self.left_open:
            self.left_open.pop().close()


@mutant("s46", "a read that timed out is retried", clause="FAIL-06")
class ReadsTriedAfterTheDeadline(ChangedCalls):
    """Retries a read that timed out, with as much time as the first try had."""

    def command(self, original: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return original(command, deadline, **kwargs)
        except redis.TimeoutError:
            if not kwargs.get("idempotent"):
                raise
            return original(command, time.monotonic() + deadline - started, **{**kwargs, "idempotent": False})


@mutant("s47", "a socket timeout from the options, not from the call", clause="FAIL-06")
class SocketTimeoutOfTheOptions(ChangedCalls):
    """Waits for `options.timeout_seconds`, whatever the call's own deadline is."""

    def command(self, original: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        return original(command, time.monotonic() + self.options.timeout_seconds, **kwargs)


@mutant("s49", "an unreadable field fails the whole lookup", clause="FAIL-10")
class OnlyFieldsCounted(RedisMutant):
    """Skips a record only if it lacks ten fields. It raises if a field is not a number or not UTF-8."""

    def find(self, *args: Any) -> LookupResult:
        with mock.patch.object(index_reads, "unpack_all", unpack_all_ten):
            return super().find(*args)


@mutant("s54", "pages without a deadline", clause="FAIL-06")
class PagesWithoutDeadline(MongoMutant):
    """Pages, counts and gets may take an hour longer than their deadline."""

    def on_worker(self, primitive: Callable[..., Any], *args: Any) -> Any:
        if primitive.__name__ in ("store_page", "store_count", "store_get"):
            args = (*args[:-1], args[-1] + 3_600)
        return super().on_worker(primitive, *args)


@mutant("s59", "a call with no time left raises an untyped error", clause="FAIL-09")
class NoTimeLeftUntyped(SQLMutant):
    """A call that begins with no time left fails with the driver's own error."""

    def call_open(self, primitive: Callable[..., Any], *args: Any) -> Any:
        return super().call_open(out_of_range if time.monotonic() >= args[-1] else primitive, *args)
