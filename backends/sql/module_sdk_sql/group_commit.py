"""Group commit: one of the threads that wait to write to a file writes for all of them, in one transaction.

The file has one lock for all who write, and each commit waits for the disk. So while one thread writes, the others
put down what they want, and the next one does it all at the price of one commit. Nobody is told of success before that.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from module_sdk.backends import SlotPool, TaskBackendError, TaskBackendUnavailableError
from module_sdk_sql.dialects.base import Connection

Result = TypeVar("Result")

Work = Callable[[Connection, float], Result]
"""What is to be written, over a connection and by a deadline. It may be run again where nothing was kept of it."""

# One transaction of more would keep other processes waiting.
MAXIMUM_IN_GROUP: Final = 100
# Who finds at its deadline that it is being written waits this much longer to hear what became of it; a commit that is
# not there at once is tried for as long.
GRACE_SECONDS: Final = 0.1
# An interrupt may keep the news from waiting threads, so each of them looks by itself this often.
LONGEST_WAIT_SECONDS: Final = 0.1
# After these SQLite has kept nothing of a transaction. Whatever else comes (an interrupt, what the handler of a signal
# raises) tells nothing, and is the affair of the thread that it came to.
STORE_ERRORS: Final = (sqlite3.Error, TaskBackendError)


class Write(Generic[Result]):
    """What one thread wants written, and what has become of it."""

    def __init__(self, work: Work[Result], deadline: float, *, is_single: bool) -> None:
        self.work = work
        self.deadline = deadline
        self.is_single = is_single
        self.is_done = False
        self.must_be_alone = False
        self.result: Any = None
        self.error: BaseException | None = None
        # Whoever waits gets a message when it may lead, and when there is news of its write.
        self.messages: queue.SimpleQueue[None] = queue.SimpleQueue()

    def succeed(self, result: Any) -> None:
        self.result = result
        self.is_done = True
        self.messages.put(None)

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.is_done = True
        self.messages.put(None)

    def undo(self) -> None:
        """Nothing was kept of it: its own thread runs it, by itself."""
        self.must_be_alone = True
        self.messages.put(None)

    def outcome(self) -> Result:
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                # Or the exception would keep itself alive, through its traceback and this frame.
                del error
        result: Result = self.result
        return result


class GroupCommit:
    """The line of threads that write to one file. A waiting thread has no connection, so that others can read.

    It holds no lock: whether a write is in the line is decided by `deque.remove`, which either finds it or does not.
    """

    def __init__(self, run: Callable[[Callable[[Connection], None], float], None], begin: str) -> None:
        self.run_on_connection = run
        self.begin = begin
        self.leading: SlotPool[None] = SlotPool(1)
        self.waiting: collections.deque[Write[Any]] = collections.deque()

    def run(self, work: Work[Result], deadline: float, *, is_single: bool) -> Result:
        """What `work` gives, once it is committed; `is_single` says that it is one statement, a transaction in itself.

        Raises what it would raise by itself, or `TaskBackendUnavailableError` when its turn has not come in time.
        """
        write = Write(work, deadline, is_single=is_single)
        try:
            self.waiting.append(write)
            while not write.is_done:
                if write.must_be_alone:
                    place = self.leading.take(deadline)
                    if place is None:
                        raise too_late()
                else:
                    place = self.leading.take_free()
                    if place is None:
                        self.wait(write)
                        continue
                try:
                    if write.must_be_alone:
                        self.run_alone(write)
                    # Another may have led this one along in the meantime.
                    elif not write.is_done:
                        self.lead(write)
                finally:
                    place.back(place)
                    self.wake_next()
                    del place
        except BaseException:
            self.withdraw(write)
            raise
        return write.outcome()

    @contextlib.contextmanager
    def alone(self, deadline: float) -> Iterator[None]:
        """For the body of a `with`, no other thread writes: for what takes long, since a group waits for all of it."""
        place = self.leading.take(deadline)
        try:
            if place is None:
                raise too_late()
            yield
        finally:
            if place is not None:
                place.back(place)
            self.wake_next()
            del place

    def wake_next(self) -> None:
        """Somebody must see that it may lead; a thread that runs already may do so before, and take all along."""
        self.leading.given()
        try:
            first = self.waiting[0]
        except IndexError:
            return
        first.messages.put(None)

    # --- Leading ----------------------------------------------------------------------------------------------------

    def lead(self, own: Write[Any]) -> None:
        """Write what all who wait now want; if it fails for one, each must try by itself, as if there were no group."""
        if len(self.waiting) == 1:
            self.withdraw(own)
            self.run_alone(own)
            return
        group = Group(self, own)
        try:
            self.run_on_connection(group.write, own.deadline)
        except BaseException as error:
            is_stores = isinstance(error, STORE_ERRORS)
            for write in group.writes:
                self.withdraw(write)
                if group.is_committing and not is_stores and not write.is_done:
                    write.fail(TaskBackendUnavailableError("the thread that wrote was interrupted: it may be written"))
                elif not write.is_done:
                    write.undo()
            if not is_stores:
                raise
            if not group.writes:
                self.withdraw(own)
                own.fail(error)

    def run_alone(self, write: Write[Any]) -> None:
        def run(link: Connection) -> None:
            if write.is_single:
                result = write.work(link, write.deadline)
            else:
                link.execute(self.begin, (), write.deadline)
                result = write.work(link, write.deadline)
                link.execute("COMMIT", (), write.deadline)
            check_place(link)
            write.succeed(result)

        try:
            self.run_on_connection(run, write.deadline)
        except Exception as error:  # raised by `outcome`
            write.fail(error)

    # --- Waiting ----------------------------------------------------------------------------------------------------

    def wait(self, write: Write[Any]) -> None:
        """Until there is news: of the write, or that it may lead. The thread that leads may be interrupted before it
        sends any, so this does not wait long."""
        left = write.deadline - time.monotonic()
        with contextlib.suppress(queue.Empty):
            write.messages.get(timeout=min(max(0.0, left), LONGEST_WAIT_SECONDS))
            return
        if left > LONGEST_WAIT_SECONDS:
            return
        if self.withdraw(write):
            write.fail(too_late())
            return
        try:
            write.messages.get(timeout=GRACE_SECONDS)
        except queue.Empty:
            if not write.is_done:
                raise TaskBackendUnavailableError(
                    "another thread was writing this at the deadline: it may be written"
                ) from None

    def withdraw(self, write: Write[Any]) -> bool:
        """Leave the line; false if it is not there, since somebody writes it already."""
        try:
            self.waiting.remove(write)
            was_there = True
        except ValueError:
            was_there = False
        # It may have been the one that was woken to lead.
        self.wake_next()
        return was_there


class Group:
    """The writes of one transaction, and how far it has come."""

    def __init__(self, line: GroupCommit, own: Write[Any]) -> None:
        self.line = line
        self.own = own
        self.writes: list[Write[Any]] = []
        self.is_committing = False

    def write(self, link: Connection) -> None:
        # Who joins, or leaves since its time is up, while this waits for another process, still can.
        link.execute(self.line.begin, (), self.own.deadline)
        self.gather()
        results = [write.work(link, write.deadline) for write in self.writes]
        self.is_committing = True
        first_deadline = min((write.deadline for write in self.writes), default=self.own.deadline)
        link.execute("COMMIT", (), max(first_deadline, time.monotonic() + GRACE_SECONDS))
        check_place(link)
        for write, result in zip(self.writes, results, strict=True):
            write.succeed(result)

    def gather(self) -> None:
        """Move those who have time left from the line to the group."""
        now = time.monotonic()
        chosen = [write for write in list(self.line.waiting) if write.deadline > now]
        for write in chosen[:MAXIMUM_IN_GROUP]:
            # In this order: an interrupt in between must not leave a write in neither.
            self.writes.append(write)
            try:
                self.line.waiting.remove(write)
            except ValueError:  # it has left in this very moment
                self.writes.pop()


def check_place(link: Connection) -> None:
    """What went into a file that was moved or replaced meanwhile is not acknowledged."""
    if not link.is_current():
        raise TaskBackendUnavailableError("the database was replaced while this was written")


def too_late() -> TaskBackendUnavailableError:
    return TaskBackendUnavailableError("other threads were writing until the deadline")
