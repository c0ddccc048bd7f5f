"""Mutants of what stands before every store: the facade, the read model, the registry. The store under them is good."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Self
from unittest import mock

from module_sdk.errors import TaskBackendError
from module_sdk.rows import LookupResult
from tests.mutants.bases import MemoryMutant

Patch = tuple[str, Any]
"""`module:dotted.name`, and what takes its place."""


class PatchedFacade(MemoryMutant):
    """Replaces parts of `module_sdk` while a manager of the class is open."""

    patches: ClassVar[tuple[Patch, ...]] = ()

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        manager = super().open(url, **options)
        manager.patched = []
        for place, replacement in cls.patches:
            module, _, path = place.partition(":")
            owner: Any = importlib.import_module(module)
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            manager.patched.append(mock.patch.object(owner, name, replacement))
            manager.patched[-1].start()
        return manager

    patched: list[Any]

    def close(self) -> None:
        super().close()
        while self.patched:
            self.patched.pop().stop()


def original(place: str) -> Callable[..., Any]:
    module, _, path = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found  # type: ignore[no-any-return]  # whatever lies there


# --- Lookups ----------------------------------------------------------------------------------------------------------

ANSWER = original("module_sdk.tasks:answer")
ASOFT = original("module_sdk.tasks:asoft")
CHECKED = original("module_sdk.lookups:checked")
RECORD = original("module_sdk.failures:LookupFailures.record")
BURST = original("module_sdk.failures:LookupFailures.begin_burst")


def answer_without_error(*arguments: Any) -> LookupResult:
    found: LookupResult = ANSWER(*arguments)
    return LookupResult(list(found), skipped=found.skipped)


def answer_without_skipped(*arguments: Any) -> LookupResult:
    found: LookupResult = ANSWER(*arguments)
    return LookupResult(list(found), error=found.error)


def answer_to_everything(*arguments: Any) -> LookupResult:
    try:
        found: LookupResult = ANSWER(*arguments)
    except BaseException as error:
        return LookupResult(error=RuntimeError(repr(error)))
    return found


def error_of_the_empty(*arguments: Any) -> LookupResult:
    found: LookupResult = ANSWER(*arguments)
    return found if found or found.error else LookupResult(error=LookupError("nothing"))


class ErrorForgotten(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.tasks:answer", answer_without_error),)


class SkippedForgotten(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.tasks:answer", answer_without_skipped),)


class InterruptsCaught(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.tasks:answer", answer_to_everything),)


class EmptyIsAnError(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.tasks:answer", error_of_the_empty),)


class GarbageDropped(PatchedFacade):
    """Gives the rows of an answer that look like rows."""

    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.lookups:checked",
            lambda rows: CHECKED([r for r in rows if isinstance(r, dict) and "status" in r] if rows else []),
        ),
    )


class EachFailureLogged(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.failures:LookupFailures.begin_burst", lambda self, burst: 0),)


class FailuresNotCounted(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.failures:lookup_failures", dict),
        ("module_sdk.tasks:lookup_failures", dict),
    )


def notify_until_one_raises(owner: Any, hook_name: str, **arguments: Any) -> None:
    try:
        for _, hooks in list(owner.registered.values()):
            getattr(hooks, hook_name)(**arguments)
    except Exception:
        logging.getLogger("module_sdk.tasks").exception("an observer raised")


class HooksStopAtTheFirst(PatchedFacade):
    """Lets an observer that raises stop the ones after it."""

    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.observers:Observers.notify", notify_until_one_raises),)


async def asoft_without_scope(operation: str, argument: Any, organization_id: Any, limit: int | None) -> LookupResult:
    found: LookupResult = await ASOFT(operation, argument, None, limit)
    return found


class TwinsForgetTheOrganization(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.tasks:asoft", asoft_without_scope),)


async def run_at_once(threads: object, call: Callable[[], Any], **_: Any) -> Any:
    return call()


class TwinsBlockTheLoop(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.aio:run_on", run_at_once),)


def ping_no_more(breaker: Any) -> None:
    breaker.stopped.wait(60)


class BreakerNeverCloses(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.breaker:Breaker.ping_until_back", lambda self: self.stopped.wait(60)),
    )


class BreakerNeverOpens(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.breaker:Breaker.failed", lambda self, error: None),)


def count_every_failure(owner: Any, operation: str, *asked: Any) -> Any:
    if owner.breaker is not None and owner.breaker.is_open:
        raise owner.breaker.last_failure.with_traceback(None)
    try:
        *question, started = asked
        return owner.ask(operation, *question, started + owner.timeout_seconds)
    except Exception as error:
        if owner.breaker is not None:
            owner.breaker.failed(error)
        raise


class BreakerOpensForAnything(PatchedFacade):
    """Counts every failure, of whatever kind."""

    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.lookups:SoftLookups.look_up", count_every_failure),)


def wait_three_seconds(owner: Any, call: Callable[[], Any], timeout_seconds: float) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(3)
    return found[0] if found else []


class ForeignCallsUnbounded(PatchedFacade):
    """Waits for a manager of somebody else as long as that takes, up to three seconds."""

    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.lookups:SoftLookups.call_with_deadline", wait_three_seconds),)


# --- The read model and sessions --------------------------------------------------------------------------------------

VIEW = original("module_sdk.models.read_model:BackgroundTasks.view")
LIST = original("module_sdk.models.read_model:BackgroundTasks.list")


def soft_list(self: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return LIST(self, *args, **kwargs)
    except TaskBackendError:
        return {"rows": [], "total_rows": 0, "page": 0, "page_size": 25, "filters": {}, "sort": {}, "next": None}


class ReadModelIsSoft(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.models.read_model:BackgroundTasks.list", soft_list),)


class ViewLeaksFields(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.models.read_model:BackgroundTasks.view",
            lambda self, task_id: (found := VIEW(self, task_id)) and {**found, "arguments": None},
        ),
    )


class PageWithoutNext(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.models.read_model:BackgroundTasks.list",
            lambda self, *args, **kwargs: {k: v for k, v in LIST(self, *args, **kwargs).items() if k != "next"},
        ),
    )


def nothing(*_: Any, **__: Any) -> None:
    pass


class ReadModelDeletes(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.models.read_model:BackgroundTasks.delete", lambda self, *args, **kwargs: None),
    )


class SessionsForgotten(PatchedFacade):
    """Calls by id reach every organization."""

    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.models.read_model:session_scope", lambda: original("module_sdk.sentinels:ANY")),
        ("module_sdk.runner.control:session_scope", lambda: original("module_sdk.sentinels:ANY")),
    )


# --- The registry, and rules of the base class ------------------------------------------------------------------------


class SchemesNotNamed(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.registry:Registry.schemes", lambda self: []),)


class LabelsNotChecked(PatchedFacade):
    """Cuts a text that is too long, and says nothing."""

    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.task:check_text",
            lambda value, field, maximum, **_: str(value).encode()[:maximum].decode(errors="ignore"),
        ),
    )


class PasswordLogged(MemoryMutant):
    def store_open(self, create: bool, deadline: float) -> None:
        logging.getLogger("module_sdk.tasks").info("opening %s", self.url.text)
        super().store_open(create, deadline)


class SecondCloseRaises(MemoryMutant):
    def close(self) -> None:
        if self.opening.is_closed:
            raise TaskBackendError("closed already")
        super().close()
