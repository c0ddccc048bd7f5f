"""The actors that read and write concurrently with the test: a thread, a manager, a process."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Self

from module_sdk.backends import TaskManager
from module_sdk_contract.data.reference import time_text
from module_sdk_contract.harness import Store
from module_sdk_contract.processes.workers import WorkerProcess
from module_sdk_contract.questions import Question, Write, answers, carry_out


@dataclasses.dataclass
class Actor:
    """The thread that runs the test, with the manager under test or another one.

    Subclasses run the same calls on another thread or in another process.
    """

    name: str
    manager: TaskManager
    is_process: ClassVar[bool] = False

    def write(self, write: Write, now: int) -> Any:
        return self.run(lambda: carry_out(self.manager, write["operation"], write["arguments"]))

    def ask(self, questions: list[Question]) -> list[Any]:
        """Return the answers, in order."""
        return list(self.run(lambda: answers(self.manager, questions)))

    def run(self, call: Callable[[], Any]) -> Any:
        return call()


class ThreadActor(Actor):
    """One other thread, always the same, because some stores keep data per thread."""

    def __init__(self, store: Store) -> None:
        super().__init__("another thread", store.manager)
        self.threads = concurrent.futures.ThreadPoolExecutor(1)
        store.to_close.callback(self.threads.shutdown)

    def run(self, call: Callable[[], Any]) -> Any:
        return self.threads.submit(call).result()


@dataclasses.dataclass
class ProcessActor(Actor):
    worker: WorkerProcess
    is_process: ClassVar[bool] = True

    @classmethod
    def start(cls, store: Store) -> Self:
        worker = store.spawn(clock=time_text(store.clock()))
        return cls("another process", store.manager, worker)

    def write(self, write: Write, now: int) -> Any:
        command = {"operation": write["operation"], "arguments": write["arguments"]}
        return self.worker.ask("write", now=time_text(now), **command)

    def ask(self, questions: list[Question]) -> list[Any]:
        return list(self.worker.ask("answer", questions=questions))
