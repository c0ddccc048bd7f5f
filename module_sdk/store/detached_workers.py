"""Threads for calls that may not return in time, or that must not be interrupted.

The caller passes a call to a thread, waits for the result, and leaves at its deadline. Signal handlers run only on the
main thread, so no signal can stop such a call between two of its steps. A driver that takes locks needs this.
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

# A call this far past its deadline will probably never return, since drivers end their calls at the deadline.
STUCK_SECONDS: Final = 1.0


class Job:
    """One call, with its result or error once it has returned."""

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
    """The call was started and has not returned by its deadline."""


class Workers:
    """At most `number` threads, started when needed. A call that hangs keeps its thread and its slot."""

    def __init__(self, number: int, name: str, *, grace_seconds: float = 0) -> None:
        """Prepare the threads; none is started yet.

        For calls that end themselves at the deadline, `grace_seconds` makes the caller wait a little longer, so that it
        gets their error instead of `LateError`.
        """
        self.number = number
        self.name = name
        self.grace_seconds = grace_seconds
        self.slots: SlotPool[Jobs] = SlotPool(number)
        self.under_way: set[Job] = set()
        """The calls that have been started and have not returned."""
        self.abandoned: dict[int, Job] = {}
        """The calls whose caller was interrupted while it waited, by the identifier of its thread."""

    def run(self, call: Callable[[], Result], deadline: float, *, patient: bool = True) -> Result:
        """Return what the call returns, or raise what it raises. Raise `LateError` at the deadline.

        Raises `TaskBackendUnavailableError` if all threads are busy: at the deadline or, if not `patient`, at once.
        """
        job = Job(call, deadline)
        caller = threading.get_ident()
        if caller in self.abandoned:
            self.wait_for_abandoned(caller, deadline)
        slot = self.slots.take(deadline) if patient else self.slots.take_free()
        if slot is None:
            raise TaskBackendUnavailableError(f"{self.number} earlier calls have not returned yet")
        if slot.item is None:
            self.begin(slot)
        job.slot = slot
        # From this call on the thread owns the slot. An interrupt cannot lose the slot between the two owners.
        slot.item.put(job)  # type: ignore[union-attr]  # `begin` has set it
        del slot
        try:
            in_time = job.done.wait(self.remaining(deadline))
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
                # Otherwise the exception would keep itself alive through its traceback and this frame.
                del error
        return job.result  # type: ignore[no-any-return]  # the result of `call`

    def remaining(self, deadline: float) -> float:
        return max(0.0, deadline - time.monotonic()) + self.grace_seconds

    def wait_for_abandoned(self, caller: int, deadline: float) -> None:
        """Wait for an interrupted call of this thread: it must not write after the thread's next call."""
        if not self.abandoned[caller].done.wait(self.remaining(deadline)):
            raise LateError("an earlier call of this thread, which was interrupted, has not returned yet")
        self.abandoned.pop(caller, None)

    def begin(self, slot: Slot[Jobs]) -> None:
        jobs: Jobs = queue.SimpleQueue()
        thread = threading.Thread(target=work, args=(jobs, self.slots, self.under_way), name=self.name, daemon=True)
        try:
            thread.start()
        except BaseException as error:
            self.slots.put_back(slot)
            if isinstance(error, RuntimeError):
                raise TaskBackendUnavailableError(f"no thread could be started for the call: {error}") from error
            raise
        slot.keep(jobs)

    def are_stuck(self) -> bool:
        """Return whether some call has not returned long after its deadline."""
        now = time.monotonic()
        return any(job.deadline + STUCK_SECONDS < now for job in list(self.under_way))

    def close(self) -> None:
        """Make each thread end once it has finished the calls that it was given."""
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
        # The slot must be returned first, so that a caller that has its answer finds it free.
        slot, job.slot = job.slot, None
        if slot is not None:
            slots.put_back(slot)
        job.done.set()
        # The waiting thread must not keep these alive.
        del job, slot
