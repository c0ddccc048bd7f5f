"""Mutants of the rules about failures, in the facade."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from module_sdk.domain.rows import LookupResult
from tests.mutants.marking import mutant
from tests.mutants.rules.failure import ALOOK_UP, TRY_LOOK_UP
from tests.mutants.stores.facade import Patch, PatchedFacade, original

CHECKED = original("module_sdk.facade.lookups:checked")


def answer_without_error(*arguments: Any) -> LookupResult:
    found: LookupResult = TRY_LOOK_UP(*arguments)
    return LookupResult(list(found), skipped=found.skipped)


def answer_without_skipped(*arguments: Any) -> LookupResult:
    found: LookupResult = TRY_LOOK_UP(*arguments)
    return LookupResult(list(found), error=found.error)


def answer_to_everything(*arguments: Any) -> LookupResult:
    try:
        found: LookupResult = TRY_LOOK_UP(*arguments)
    except BaseException as error:
        return LookupResult(error=RuntimeError(repr(error)))
    return found


def error_of_the_empty(*arguments: Any) -> LookupResult:
    found: LookupResult = TRY_LOOK_UP(*arguments)
    return found if found or found.error else LookupResult(error=LookupError("nothing"))


def notify_until_one_raises(owner: Any, hook_name: str, **arguments: Any) -> None:
    try:
        for _, hooks in list(owner.registered.values()):
            getattr(hooks, hook_name)(**arguments)
    except Exception:
        logging.getLogger("module_sdk.tasks").exception("an observer raised")


async def alook_up_without_scope(
    operation: str, argument: Any, organization_id: Any, limit: int | None
) -> LookupResult:
    found: LookupResult = await ALOOK_UP(operation, argument, None, limit)
    return found


async def run_at_once(threads: object, call: Callable[[], Any], **_: Any) -> Any:
    return call()


def count_every_failure(owner: Any, operation: str, *arguments: Any) -> Any:
    if owner.breaker is not None and owner.breaker.is_open:
        raise owner.breaker.last_failure.with_traceback(None)
    try:
        *question, started = arguments
        return owner.ask(operation, *question, started + owner.timeout_seconds)
    except Exception as error:
        if owner.breaker is not None:
            owner.breaker.failed(error)
        raise


def wait_three_seconds(owner: Any, call: Callable[[], Any], timeout_seconds: float) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(3)
    return found[0] if found else []


@mutant("x129", "the error of a lookup is forgotten", clause="FAIL-01")
class ErrorForgotten(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.lookup_calls:try_look_up", answer_without_error),)


@mutant("x130", "interrupts are caught", clause="FAIL-03")
class InterruptsCaught(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.lookup_calls:try_look_up", answer_to_everything),)


@mutant("x131", "the row-like values in garbage are returned", clause="FAIL-04")
class GarbageDropped(PatchedFacade):
    """Drops the values of an answer that do not look like rows, and returns the others."""

    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.facade.lookups:checked",
            lambda rows: CHECKED([r for r in rows if isinstance(r, dict) and "status" in r] if rows else []),
        ),
    )


@mutant("x132", "each failure is logged", clause="FAIL-11")
class EachFailureLogged(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.facade.lookup_failures:LookupFailures.begin_burst", lambda self, burst: 0),
    )


@mutant("x133", "failures are not counted", clause="FAIL-11")
class FailuresNotCounted(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.facade.lookup_failures:lookup_failures", dict),
        ("module_sdk.tasks:lookup_failures", dict),
    )


@mutant("x134", "an observer that raises stops the next", clause="FAIL-11")
class HooksStopAtTheFirst(PatchedFacade):
    """Does not call the observers after one that raised."""

    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.plugins.observers:Observers.notify", notify_until_one_raises),)


@mutant("x135", "async versions block the event loop", clause="FAIL-12")
class AsyncVersionsBlockTheLoop(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.async_calls:run_on", run_at_once),)


@mutant("x136", "the breaker never closes", clause="FAIL-14")
@mutant("x137", "the breaker never closes, and nothing recovers", clause="FAIL-08")
class BreakerNeverCloses(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.facade.breaker:Breaker.ping_until_back", lambda self: self.stopped.wait(60)),
    )


@mutant("x138", "the breaker never opens", clause="FAIL-14")
class BreakerNeverOpens(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.breaker:Breaker.failed", lambda self, error: None),)


@mutant("x139", "the breaker opens for any failure", clause="FAIL-14")
class BreakerOpensForAnything(PatchedFacade):
    """Counts failures of every kind."""

    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.lookups:SafeLookups.look_up", count_every_failure),)


@mutant("x140", "calls of an injected manager are not bounded", clause="FAIL-14")
class InjectedCallsUnbounded(PatchedFacade):
    """Waits up to three seconds for an injected manager, whatever the timeout is."""

    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.facade.lookups:SafeLookups.call_with_deadline", wait_three_seconds),
    )


@mutant("x141", "an empty answer is an error", clause="FAIL-15")
class EmptyIsAnError(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.lookup_calls:try_look_up", error_of_the_empty),)


@mutant("s64", "async versions drop the organization", clause="FAIL-12")
class AsyncVersionsDropTheOrganization(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.lookup_calls:alook_up", alook_up_without_scope),)


@mutant("s65", "the number of skipped rows is lost", clause="FAIL-10")
class SkippedForgotten(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (("module_sdk.facade.lookup_calls:try_look_up", answer_without_skipped),)
