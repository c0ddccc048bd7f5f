"""A session's block may be left in another context than the one in which it was entered.

Frameworks do so with dependencies.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.facade.sessions import current_session
from module_sdk.store.manager import TaskManager
from tests.support.sample_work import Gate, until_status


def in_another_context(call: Callable[[], Any]) -> Any:
    return contextvars.copy_context().run(call)


def test_a_block_may_be_left_in_another_context() -> None:
    # given a block that a framework enters on one thread and leaves on another, each with its own context
    block = module_sdk.session(user={"id": 1})
    opened = in_another_context(block.__enter__)
    assert opened.user_id == 1

    in_another_context(lambda: block.__exit__(None, None, None))
    assert current_session() is None


def test_an_error_inside_such_a_block_is_not_suppressed() -> None:
    block = module_sdk.session(user={"id": 1})
    in_another_context(block.__enter__)
    error = KeyError("of the endpoint")
    assert in_another_context(lambda: block.__exit__(KeyError, error, None)) is False


def test_no_thread_keeps_a_session_that_was_left_on_another_thread() -> None:
    # given two threads that serve several requests without a context per request
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first, second = module_sdk.session(user={"id": 1}), module_sdk.session(user={"id": 2})
        one.submit(first.__enter__).result(10)
        one.submit(second.__enter__).result(10)

        # when the inner session is left on the other thread, and then the outer one
        other.submit(second.__exit__, None, None, None).result(10)
        inside = one.submit(current_session).result(10)
        other.submit(first.__exit__, None, None, None).result(10)

        # then the first thread serves its next request without a session
        assert inside is not None
        assert inside.user_id == 1
        assert one.submit(current_session).result(10) is None
        assert other.submit(current_session).result(10) is None


def test_a_context_that_is_copied_back_has_the_outer_session_again() -> None:
    # given a framework that enters and leaves the block in copies of a context and copies their values back, as asgiref
    # does
    with module_sdk.session(user={"id": 1}) as outer:
        block = module_sdk.session(user={"id": 2})
        entered = contextvars.copy_context()
        entered.run(block.__enter__)
        left = entered.copy()

        left.run(block.__exit__, None, None, None)

        assert left.run(current_session) is outer
        assert entered.run(current_session) is outer


@pytest.mark.parametrize("form", ["coroutine", "function"])
def test_work_keeps_its_session_when_the_block_is_left_in_another_context(store: TaskManager, form: str) -> None:
    gate = Gate()
    seen: list[Any] = []
    block = module_sdk.session(user={"id": 9, "organization_id": 5})

    async def coroutine() -> None:
        await gate.coroutine()
        seen.append(current_session())

    @tasks.register("keeps.session")
    def function() -> None:
        gate.function()
        seen.append(current_session())

    def enter_and_submit() -> str:
        block.__enter__()
        return tasks.run_background_sync(coroutine() if form == "coroutine" else "keeps.session")

    task_id = in_another_context(enter_and_submit)
    assert gate.begun.wait(10)

    in_another_context(lambda: block.__exit__(None, None, None))
    gate.opened.set()

    assert until_status(store, task_id, "completed").user_id == 9
    assert [opened.user_id for opened in seen] == [9]
