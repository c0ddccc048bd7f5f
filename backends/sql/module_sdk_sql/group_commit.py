"""Group commit: of the threads that wait to write to a file, one writes for all of them in one transaction.

The file has one lock for all writers, and each commit waits for the disk. While one thread writes, the others queue
their writes. The next thread then commits all of them as one batch, at the price of one commit. No call returns before
its write is committed.
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
"""A function that writes through a connection by a deadline. It is called again if its transaction was rolled back."""

# A larger transaction would make other processes wait too long.
MAXIMUM_BATCH_WRITES: Final = 100
# A caller whose deadline passes while its write is in a batch waits this much longer for the outcome. A COMMIT has at
# least this much time.
GRACE_SECONDS: Final = 0.1
# An interrupt may prevent a thread from waking the others, so each of them checks its write this often.
MAXIMUM_WAIT_SECONDS: Final = 0.1
# After one of these errors SQLite has kept nothing of the transaction. Any other exception, such as KeyboardInterrupt,
# says nothing about the transaction. It belongs to the thread that received it and must be raised there.
STORE_ERRORS: Final = (sqlite3.Error, TaskBackendError)


class Write(Generic[Result]):
    """A write that one thread has asked for, and its outcome."""

    def __init__(self, work: Work[Result], deadline: float, *, is_single: bool) -> None:
        self.work = work
        self.deadline = deadline
        self.is_single = is_single
        self.is_done = False
        self.must_run_alone = False
        self.result: Any = None
        self.error: BaseException | None = None
        # The waiting thread gets a message when it may become the leader, and when its write has an outcome.
        self.messages: queue.SimpleQueue[None] = queue.SimpleQueue()

    def succeed(self, result: Any) -> None:
        self.result = result
        self.is_done = True
        self.messages.put(None)

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.is_done = True
        self.messages.put(None)

    def retry_alone(self) -> None:
        """Tell the write's own thread to run it without a batch, because the batch was rolled back."""
        self.must_run_alone = True
        self.messages.put(None)

    def outcome(self) -> Result:
        """Return the result, or raise the error."""
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                # Otherwise the exception would keep itself alive through its traceback and this frame.
                del error
        result: Result = self.result
        return result


class GroupCommit:
    """The queue of threads that write to one file. Waiting threads have no connection, so that others can read.

    There is no lock: `deque.remove`, which is atomic, decides whether a write is still in the queue. The thread that
    has the only slot of `leading` is the leader, which writes for all.
    """

    def __init__(self, run: Callable[[Callable[[Connection], None], float], None], begin: str) -> None:
        self.run_on_connection = run
        self.begin = begin
        self.leading: SlotPool[None] = SlotPool(1)
        self.waiting: collections.deque[Write[Any]] = collections.deque()

    def run(self, work: Work[Result], deadline: float, *, is_single: bool) -> Result:
        """Run `work` and return its result when it is committed.

        `is_single` says that `work` is one statement, which needs no BEGIN if it runs alone. Raises the errors of
        `work`, and `TaskBackendUnavailableError` if the deadline passes in the queue.
        """
        write = Write(work, deadline, is_single=is_single)
        try:
            self.waiting.append(write)
            while not write.is_done:
                if write.must_run_alone:
                    slot = self.leading.take(deadline)
                    if slot is None:
                        raise too_late()
                else:
                    slot = self.leading.take_free()
                    if slot is None:
                        self.wait(write)
                        continue
                try:
                    if write.must_run_alone:
                        self.run_alone(write)
                    # Another leader may have committed this write in the meantime.
                    elif not write.is_done:
                        self.commit_batch(write)
                finally:
                    slot.back(slot)
                    self.wake_next()
                    del slot
        except BaseException:
            self.cancel(write)
            raise
        return write.outcome()

    @contextlib.contextmanager
    def exclusive(self, deadline: float) -> Iterator[None]:
        """Keep other threads from writing during a `with`. A long write in a batch would delay all others."""
        slot = self.leading.take(deadline)
        try:
            if slot is None:
                raise too_late()
            yield
        finally:
            if slot is not None:
                slot.back(slot)
            self.wake_next()
            del slot

    def wake_next(self) -> None:
        """Wake the first waiter so that someone becomes leader.

        A running thread may win the race and commit the waiter's write as well.
        """
        self.leading.announce_return()
        try:
            first = self.waiting[0]
        except IndexError:
            return
        first.messages.put(None)

    # --- The leader -------------------------------------------------------------------------------------------------

    def commit_batch(self, own: Write[Any]) -> None:
        """Commit all writes in the queue together. If one of them fails, each thread must retry its own write alone."""
        if len(self.waiting) == 1:
            self.cancel(own)
            self.run_alone(own)
            return
        batch = Batch(self, own)
        try:
            self.run_on_connection(batch.write, own.deadline)
        except BaseException as error:
            is_store_error = isinstance(error, STORE_ERRORS)
            for write in batch.writes:
                self.cancel(write)
                if batch.is_committing and not is_store_error and not write.is_done:
                    write.fail(
                        TaskBackendUnavailableError("the committing thread was interrupted: this may have been written")
                    )
                elif not write.is_done:
                    write.retry_alone()
            if not is_store_error:
                raise
            if not batch.writes:
                self.cancel(own)
                own.fail(error)

    def run_alone(self, write: Write[Any]) -> None:
        def run(connection: Connection) -> None:
            if write.is_single:
                result = write.work(connection, write.deadline)
            else:
                connection.execute(self.begin, (), write.deadline)
                result = write.work(connection, write.deadline)
                connection.execute("COMMIT", (), write.deadline)
            check_file_identity(connection)
            write.succeed(result)

        try:
            self.run_on_connection(run, write.deadline)
        except Exception as error:  # `outcome` raises it
            write.fail(error)

    # --- Waiting ----------------------------------------------------------------------------------------------------

    def wait(self, write: Write[Any]) -> None:
        """Wait for a message, but not for long: the leader may be interrupted before it sends one.

        At the deadline, cancel the write, or raise `TaskBackendUnavailableError` if a leader is writing it.
        """
        left = write.deadline - time.monotonic()
        with contextlib.suppress(queue.Empty):
            write.messages.get(timeout=min(max(0.0, left), MAXIMUM_WAIT_SECONDS))
            return
        if left > MAXIMUM_WAIT_SECONDS:
            return
        if self.cancel(write):
            write.fail(too_late())
            return
        try:
            write.messages.get(timeout=GRACE_SECONDS)
        except queue.Empty:
            if not write.is_done:
                raise TaskBackendUnavailableError(
                    "another thread was writing this at the deadline: it may have been written"
                ) from None

    def cancel(self, write: Write[Any]) -> bool:
        """Remove a write from the queue; return false if it is not there, because a leader has taken it."""
        try:
            self.waiting.remove(write)
            was_there = True
        except ValueError:
            was_there = False
        # Its thread may have been woken to become the leader.
        self.wake_next()
        return was_there


class Batch:
    """The writes that a leader commits in one transaction."""

    def __init__(self, writers: GroupCommit, own: Write[Any]) -> None:
        self.writers = writers
        self.own = own
        self.writes: list[Write[Any]] = []
        self.is_committing = False

    def write(self, connection: Connection) -> None:
        # BEGIN may wait for another process. Meanwhile writes can join the queue, and late ones can leave it.
        connection.execute(self.writers.begin, (), self.own.deadline)
        self.take_waiting()
        results = [write.work(connection, write.deadline) for write in self.writes]
        self.is_committing = True
        first_deadline = min((write.deadline for write in self.writes), default=self.own.deadline)
        connection.execute("COMMIT", (), max(first_deadline, time.monotonic() + GRACE_SECONDS))
        check_file_identity(connection)
        for write, result in zip(self.writes, results, strict=True):
            write.succeed(result)

    def take_waiting(self) -> None:
        """Move the writes that have time left from the queue to the batch."""
        now = time.monotonic()
        chosen = [write for write in list(self.writers.waiting) if write.deadline > now]
        for write in chosen[:MAXIMUM_BATCH_WRITES]:
            # Append first: after an interrupt in between, the write must be in at least one of the two.
            self.writes.append(write)
            try:
                self.writers.waiting.remove(write)
            except ValueError:  # its thread has cancelled it at this moment
                self.writes.pop()


def check_file_identity(connection: Connection) -> None:
    """Raise `TaskBackendUnavailableError` if the file was moved or replaced, so that no write to it is acknowledged."""
    if not connection.is_current():
        raise TaskBackendUnavailableError("the database was replaced while this was written")


def too_late() -> TaskBackendUnavailableError:
    return TaskBackendUnavailableError("other threads were writing until the deadline")
