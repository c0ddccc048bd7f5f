"""How work ends and what is recorded of it: results, errors, and values that cannot be stored."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from module_sdk import tasks
from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.store.manager import TaskManager
from tests.support.sample_work import Gate, add, until


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


FAILURES: dict[str, tuple[BaseException, str]] = {
    "error": (ValueError("no such file"), "ValueError: no such file"),
    "no message": (KeyError(), "KeyError: "),
    "text that a store cannot contain": (ValueError("a\0b\ud800"), "ValueError: a\ufffdb\ufffd"),
    "no text at all": (SpeechlessError(), "SpeechlessError: its message cannot be read"),
    "long": (ValueError("é" * 70_000), "ValueError: " + "é" * 32_762),
    "system exit": (SystemExit(3), "SystemExit: 3"),
    "keyboard interrupt": (KeyboardInterrupt(), "KeyboardInterrupt: "),
    "stop iteration": (StopAsyncIteration("x"), "StopAsyncIteration: x"),
    "unavailable": (TaskBackendUnavailableError("other"), "TaskBackendUnavailableError: other"),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_an_exception_of_work_is_the_error_of_its_task_and_is_logged(
    store: TaskManager, form: str, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, text = FAILURES[case]

    async def coroutine() -> None:
        raise error

    @tasks.register("raising")
    def function() -> None:
        raise error

    with caplog.at_level(logging.ERROR, "module_sdk.tasks"):
        view = tasks.wait(
            tasks.run_background_sync(coroutine() if form == "coroutine" else "raising", task_key="k"), 10
        )
        until(lambda: "Traceback" in caplog.text)

    # then the task has failed, and other work can run under the same key
    assert (view["status"], view["error"], view["result"]) == ("failed", text, None)
    assert tasks.wait(tasks.run_background_sync(add(1, 2), task_key="k"), 10)["result"] == 3


def test_an_exit_inside_work_does_not_stop_other_work_of_the_loop(store: TaskManager) -> None:
    gate = Gate(result="done")
    other = gate.submit("coroutine")
    others: list[asyncio.Task[None]] = []

    async def leave() -> None:
        others.append(asyncio.create_task(leave_too()))
        await asyncio.sleep(0.01)
        raise SystemExit(1)

    async def leave_too() -> None:
        raise KeyboardInterrupt

    view = tasks.wait(tasks.run_background_sync(leave()), 10)

    assert view["error"] == "SystemExit: 1"
    assert isinstance(others[0].exception(), KeyboardInterrupt)
    gate.opened.set()
    assert tasks.wait(other, 10)["result"] == "done"


RESULTS = [None, 0, 0.0, "", [], {}, False, 10**4_299, {"$set": {"a.b": [1]}}, "\0\ud800", 0.1 + 0.2, [[1, [2]]]]


@pytest.mark.parametrize("result", RESULTS, ids=lambda value: repr(value)[:20])
def test_a_result_is_returned_unchanged(store: TaskManager, result: Any) -> None:
    async def work() -> Any:
        return result

    found = tasks.wait(tasks.run_background_sync(work()), 10)["result"]
    assert (found, type(found)) == (result, type(result))


class Restless(dict[str, Any]):
    """A dictionary that fails as if another thread changed it during the iteration."""

    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
UNSTORABLE: dict[str, tuple[Any, str]] = {
    "object": (object(), "PayloadError: result must be JSON: object is not"),
    "bytes": (b"x", "PayloadError: result must be JSON: bytes is not"),
    "NaN": (float("nan"), "PayloadError: result must be JSON: nan is not"),
    "infinity": ([float("inf")], "PayloadError: result[0] must be JSON: inf is not"),
    "key": ({1: 2}, "PayloadError: result must have text keys only, not int"),
    "large": ("x" * 1_048_575, "PayloadError: result must be at most 1,048,576 bytes of JSON"),
    "deep": (
        json.loads("[" * 101 + "]" * 101),
        f"PayloadError: result{'[0]' * 8}…{'[0]' * 8} must be nested at most 100 deep",
    ),
    "cycle": (CYCLE, "PayloadError: result[0] must not contain itself"),
    "huge integer": (10**4_300, "PayloadError: result must be JSON"),
    "restless": (Restless(a=1), "PayloadError: result must be JSON: RuntimeError"),
}


@pytest.mark.parametrize("form", ["coroutine", "function"])
@pytest.mark.parametrize("case", UNSTORABLE)
def test_a_result_that_cannot_be_stored_fails_the_task_with_the_reason(
    store: TaskManager, case: str, form: str
) -> None:
    result, reason = UNSTORABLE[case]
    gate = Gate(result)
    gate.opened.set()

    view = tasks.wait(gate.submit(form, task_key="k"), 10)

    assert view["status"] == "failed"
    assert str(view["error"]).startswith(reason)
    assert view["result"] is None
