"""Bugs that a stranger put into the Redis backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import redis
from module_sdk_redis import packing, reading, scripts
from module_sdk_redis.layout import time_value
from module_sdk_redis.manager import import_chunks
from module_sdk_redis.scripts import Script

from module_sdk.backends import TaskConflictError, TaskRecord
from module_sdk.rows import LookupResult
from tests.mutants.redis_stores import RedisMutant


class ChangedCalls(RedisMutant):
    """Puts scripts and commands through `run` and `command`, which are given the good ones."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        run, call = self.router.run, self.router.call
        vars(self.router)["run"] = lambda *args, **kwargs: self.run(run, *args, **kwargs)
        vars(self.router)["call"] = lambda *args, **kwargs: self.command(call, *args, **kwargs)

    def run(self, good: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        return good(script, *args, **kwargs)

    def command(self, good: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        return good(command, deadline, **kwargs)


# --- Scripts ----------------------------------------------------------------------------------------------------------


class PruneStopsAtAQuietChunk(ChangedCalls):
    """A prune ends at the first thousand entries of which none has to go."""

    def run(self, good: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        reply = super().run(good, script, *args, **kwargs)
        return [0, 0, b""] if script is scripts.PRUNE and not reply[0] else reply


class SetsOrClears(RedisMutant):
    """An update that sets one payload clears no other."""

    replacements = (("  end\n  if #ARGV > last then", "  elseif #ARGV > last then"),)


class ScriptsLoadedAtOpening(ChangedCalls):
    """Never sends a script again to a server that has forgotten it."""

    def store_open(self, create: bool, deadline: float) -> None:
        super().store_open(create, deadline)
        for script in vars(scripts).values():
            if isinstance(script, Script):
                self.router.read("SCRIPT", "LOAD", script.text, deadline=deadline)

    def run(self, good: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        keys, arguments, deadline = args
        return self.router.call(("EVALSHA", script.digest, len(keys), *keys, *arguments), deadline, **kwargs)


class ImportGoesOnWithTheNextChunk(RedisMutant):
    """An import that meets a held key ends that chunk, writes the next ones, and raises then."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written, held = 0, b""
        for first, arguments in import_chunks(records):
            keys = (self.layout.record(first.id),)
            went_in, refused = self.router.run(scripts.IMPORT, keys, (self.layout.prefix, *arguments), deadline)
            written += went_in
            held = held or refused
        if held:
            raise TaskConflictError(f"the key of the active task {held.decode()} is held by another task")
        return written


# --- Connections ------------------------------------------------------------------------------------------------------


class PingWithoutATrip(RedisMutant):
    """Is content with a pool that has an idle connection."""

    def store_ping(self, deadline: float) -> None:
        if not any(links.members for links in self.pool.links.values()):
            super().store_ping(deadline)


class ReadsTriedAfterTheDeadline(ChangedCalls):
    """Tries a read that timed out once more, with as much time as it had."""

    def command(self, good: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            return good(command, deadline, **kwargs)
        except redis.TimeoutError:
            if not kwargs.get("again"):
                raise
            return good(command, time.monotonic() + deadline - started, **{**kwargs, "again": False})


class SocketTimeoutOfTheOptions(ChangedCalls):
    """Waits as long as the options say, whatever the call's own deadline is."""

    def command(self, good: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        return good(command, time.monotonic() + self.options.timeout_seconds, **kwargs)


# --- Records ----------------------------------------------------------------------------------------------------------


class OnlyFieldsCounted(RedisMutant):
    """Raises where one of ten fields is no number or no UTF-8."""

    def find(self, *args: Any) -> LookupResult:
        with mock.patch.object(reading, "unpack", unpack_ten):
            return super().find(*args)


def unpack_ten(packed: bytes) -> packing.Row | None:
    row = packing.unpack(packed)
    parts = packed.split(b"\0")
    if row is None and len(parts) == 10:
        # One of these raises.
        packed.decode()
        return (float(parts[4]), time_value(parts[8]), time_value(parts[9]))
    return row
