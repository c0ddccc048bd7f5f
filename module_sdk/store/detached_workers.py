"""Threads for calls that may not come back in time, or that must not be interrupted.

The caller hands a call over, waits for the answer and leaves at its deadline. The handler of a signal runs on the main
thread alone, so no signal can stop such a call between any two of its steps; a driver that takes locks needs this.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from module_sdk.errors import TaskBackendUnavailableError
from module_sdk.store.latch import Latch
from module_sdk.store.slots import Slot, SlotPool

Result = TypeVar("Result")

# A call that is so late will hardly come back: the drivers end theirs at the deadline.
STUCK_SECONDS: Final = 1.0


class Job:
    """One call, and what has become of it."""

    __slots__ = ("call", "deadline", "done", "error", "result", "slot")

    def __init__(self, call: Callable[[], Any], deadline: float) -> None:
        self.call = call
        self.deadline = deadline
        self.done = Latch()
        self.result: Any = None
        self.error: BaseException | None = None
        self.slot: Slot[Jobs] | None = None


Jobs = queue.SimpleQueue["Job | None"]


class LateError(TaskBackendUnavailableError):
    """The call was made and has not come back by the deadline."""


class Workers:
    """At most so many threads, started when they are needed; a call that hangs keeps its thread, and its slot."""

    def __init__(self, number: int, name: str, *, grace_seconds: float = 0) -> None:
        """`grace_seconds` is for calls that end themselves at the deadline, so that what they say of it is heard."""
        self.number = number
        self.name = name
        self.grace_seconds = grace_seconds
        self.slots: SlotPool[Jobs] = SlotPool(number)
        self.under_way: set[Job] = set()
        """The calls that have been made and have not come back."""
        self.abandoned: dict[int, Job] = {}
        """The calls that were interrupted, by the thread that made them."""

    def run(self, call: Callable[[], Result], deadline: float, *, patient: bool = True) -> Result:
        """What the call returns or raises. Raises `LateError` at the deadline.

        Raises `TaskBackendUnavailableError` when all threads are busy: until the deadline or, if not `patient`, now.
        """
        job = Job(call, deadline)
        caller = threading.get_ident()
        if caller in self.abandoned:
            self.wait_for_abandoned(caller, deadline)
        slot = self.slots.take(deadline) if patient else self.slots.take_free()
        if slot is None:
            raise TaskBackendUnavailableError(f"{self.number} earlier calls have not come back yet")
        if slot.item is None:
            self.begin(slot)
        job.slot = slot
        # From here on the thread has the slot. There is no step before this in which an interrupt could lose it.
        slot.item.put(job)  # type: ignore[union-attr]  # `begin` has brought one
        del slot
        try:
            in_time = job.done.wait(self.left(deadline))
        except BaseException:
            self.abandoned[caller] = job
            raise
        if not in_time:
            raise LateError("no answer in time")
        if job.error is not None:
            error, job.error = job.error, None
            try:
                raise error
            finally:
                # Or the exception would keep itself alive, through its traceback and this frame.
                del error
        return job.result  # type: ignore[no-any-return]  # the result of `call`

    def left(self, deadline: float) -> float:
        return max(0.0, deadline - time.monotonic()) + self.grace_seconds

    def wait_for_abandoned(self, caller: int, deadline: float) -> None:
        """What a thread writes must not be overtaken by what it wrote before, in a call that was interrupted."""
        if not self.abandoned[caller].done.wait(self.left(deadline)):
            raise LateError("an earlier call of this thread, which was interrupted, has not come back yet")
        self.abandoned.pop(caller, None)

    def begin(self, slot: Slot[Jobs]) -> None:
        jobs: Jobs = queue.SimpleQueue()
        thread = threading.Thread(target=work, args=(jobs, self.slots, self.under_way), name=self.name, daemon=True)
        try:
            thread.start()
        except BaseException as error:
            self.slots.give(slot)
            if isinstance(error, RuntimeError):
                raise TaskBackendUnavailableError(f"the call has no thread to run on: {error}") from error
            raise
        slot.keep(jobs)

    def are_stuck(self) -> bool:
        """Whether a call has not come back long after its deadline."""
        now = time.monotonic()
        return any(job.deadline + STUCK_SECONDS < now for job in list(self.under_way))

    def close(self) -> None:
        """Let the threads end when they have done what they were given."""
        for jobs in self.slots.items:
            jobs.put(None)


def work(jobs: Jobs, slots: SlotPool[Jobs], under_way: set[Job]) -> None:
    while (job := jobs.get()) is not None:
        under_way.add(job)
        try:
            job.result = job.call()
        except BaseException as error:  # raised in the thread of the caller
            job.error = error
        under_way.discard(job)
        # In this order: a caller that has its answer finds a free slot.
        slot, job.slot = job.slot, None
        if slot is not None:
            slots.give(slot)
        job.done.set()
        # Not kept while the thread waits for more work.
        del job, slot
