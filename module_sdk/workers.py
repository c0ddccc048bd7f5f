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
from module_sdk.places import Place, Places

Result = TypeVar("Result")

# A call that is so late will hardly come back: the drivers end theirs at the deadline.
STUCK_SECONDS: Final = 1.0

Job = tuple[Callable[[], Any], "Place[Jobs]", "queue.SimpleQueue[Outcome]", float]
Jobs = queue.SimpleQueue[Job | None]
Outcome = tuple[Any, BaseException | None]


class LateError(TaskBackendUnavailableError):
    """The call was made and has not come back by the deadline."""


class Workers:
    """At most so many threads, started when they are needed; a call that hangs keeps its thread, and its place."""

    def __init__(self, number: int, name: str, *, grace_seconds: float = 0) -> None:
        """`grace_seconds` is for calls that end themselves at the deadline, so that what they say of it is heard."""
        self.number = number
        self.name = name
        self.grace_seconds = grace_seconds
        self.places: Places[Jobs] = Places(number)
        self.under_way: dict[int, float] = {}
        """The deadlines of the calls that have been made and have not come back."""

    def run(self, call: Callable[[], Result], deadline: float, *, patient: bool = True) -> Result:
        """What the call returns or raises. Raises `LateError` at the deadline.

        Raises `TaskBackendUnavailableError` when all threads are busy: until the deadline or, if not `patient`, now.
        """
        answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        place = self.places.take(deadline) if patient else self.places.take_free()
        if place is None:
            raise TaskBackendUnavailableError(f"{self.number} earlier calls have not come back yet")
        if place.link is None:
            self.begin(place)
        # From here on the thread has the place. There is no step before this in which an interrupt could lose it.
        place.link.put((call, place, answers, deadline))  # type: ignore[union-attr]  # `begin` has brought one
        del place
        try:
            result, error = answers.get(timeout=max(0.0, deadline - time.monotonic()) + self.grace_seconds)
        except queue.Empty:
            raise LateError("no answer in time") from None
        if error is not None:
            try:
                raise error
            finally:
                # Or the exception would keep itself alive, through its traceback and this frame.
                del error
        return result  # type: ignore[no-any-return]  # the result of `call`

    def begin(self, place: Place[Jobs]) -> None:
        jobs: Jobs = queue.SimpleQueue()
        thread = threading.Thread(target=work, args=(jobs, self.places, self.under_way), name=self.name, daemon=True)
        try:
            thread.start()
        except BaseException as error:
            self.places.give(place)
            if isinstance(error, RuntimeError):
                raise TaskBackendUnavailableError(f"the call has no thread to run on: {error}") from error
            raise
        place.keep(jobs)

    def are_stuck(self) -> bool:
        """Whether a call has not come back long after its deadline."""
        now = time.monotonic()
        return any(deadline + STUCK_SECONDS < now for deadline in list(self.under_way.values()))

    def close(self) -> None:
        """Let the threads end when they have done what they were given."""
        for jobs in self.places.links:
            jobs.put(None)


def work(jobs: Jobs, places: Places[Jobs], under_way: dict[int, float]) -> None:
    while (job := jobs.get()) is not None:
        call, place, answers, deadline = job
        under_way[id(answers)] = deadline
        outcome: Outcome
        try:
            outcome = (call(), None)
        except BaseException as error:  # raised in the thread of the caller
            outcome = (None, error)
        under_way.pop(id(answers), None)
        # In this order: a caller that has its answer finds a free place.
        places.give(place)
        answers.put(outcome)
        # Not kept while the thread waits for more work.
        del job, call, place, answers, outcome
