"""Group commit: one of the threads that wait to write to a file writes for all of them, in one transaction.

The file has one lock for all who write, and each commit waits for the disk. So while one thread writes, the others
put down what they want, and the next one does it all at the price of one commit. Nobody is told of success before that.
"""

from __future__ import annotations

import collections
import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, Generic, TypeVar

from module_sdk.backends import Places, TaskBackendUnavailableError
from module_sdk_sql.dialects.base import Link

Result = TypeVar("Result")

Work = Callable[[Link, float], Result]
"""What is to be written, over a connection and by a deadline. It may be run again where nothing was kept of it."""

# One transaction of more would keep other processes waiting.
MOST_IN_GROUP: Final = 100


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
            raise self.error
        result: Result = self.result
        return result


class GroupCommit:
    """The line of those who write to one file; who waits in it holds no connection, so that others can read."""

    def __init__(self, connection: Callable[[float], AbstractContextManager[Link]], begin: str) -> None:
        self.connection = connection
        self.begin = begin
        self.leading = Places(1)
        self.waiting: collections.deque[Write[Any]] = collections.deque()
        self.lock = threading.Lock()

    def run(self, work: Work[Result], deadline: float, *, is_single: bool) -> Result:
        """What `work` gives, once it is committed; `is_single` says that it is one statement, a transaction in itself.

        Raises what it would raise by itself, or `TaskBackendUnavailableError` when its turn has not come in time.
        """
        write = Write(work, deadline, is_single=is_single)
        self.waiting.append(write)
        while not write.is_done:
            if write.must_be_alone:
                with self.alone(deadline):
                    self.run_alone(write)
            elif self.leading.take_free():
                try:
                    # Another may have led this one along in the meantime.
                    if not write.is_done and not write.must_be_alone:
                        self.lead(write)
                finally:
                    self.stop_leading()
            else:
                self.wait(write)
        return write.outcome()

    @contextlib.contextmanager
    def alone(self, deadline: float) -> Iterator[None]:
        """For the body of a `with`, no other thread writes: for what takes long, since a group waits for all of it."""
        if not self.leading.take(deadline):
            raise too_late()
        try:
            yield
        finally:
            self.stop_leading()

    def stop_leading(self) -> None:
        self.leading.give()
        self.wake_first()

    def wake_first(self) -> None:
        """Somebody must see that it may lead; a thread that runs already may do so before, and take all along."""
        try:
            first = self.waiting[0]
        except IndexError:
            return
        first.messages.put(None)

    # --- Leading ----------------------------------------------------------------------------------------------------

    def lead(self, own: Write[Any]) -> None:
        """Write what all who wait now want; if it fails for one, each must try by itself, as if there were no group."""
        if len(self.waiting) == 1:
            self.waiting.remove(own)
            self.run_alone(own)
            return
        group: list[Write[Any]] = []
        is_committing = False
        try:
            with self.connection(own.deadline) as link:
                # Who joins, or leaves since its time is up, while this waits for another process, still can.
                link.execute(self.begin, (), own.deadline)
                group = self.take_group()
                results = [write.work(link, write.deadline) for write in group]
                is_committing = True
                link.execute("COMMIT", (), math.inf)
                for write, result in zip(group, results, strict=True):
                    write.succeed(result)
        except BaseException as error:
            is_unknown = is_committing and not isinstance(error, Exception)
            for write in group:
                if is_unknown and not write.is_done:
                    write.fail(TaskBackendUnavailableError("the thread that wrote was interrupted: it may be written"))
                elif not write.is_done:
                    write.undo()
            if not group:
                self.withdraw(own)
                own.fail(error)
            if not isinstance(error, Exception):
                raise

    def take_group(self) -> list[Write[Any]]:
        now = time.monotonic()
        with self.lock:
            # A copy, since others join without the lock.
            group = [write for write in list(self.waiting) if write.deadline > now][:MOST_IN_GROUP]
            for write in group:
                self.waiting.remove(write)
        return group

    def run_alone(self, write: Write[Any]) -> None:
        try:
            with self.connection(write.deadline) as link:
                if write.is_single:
                    result = write.work(link, write.deadline)
                else:
                    link.execute(self.begin, (), write.deadline)
                    result = write.work(link, write.deadline)
                    link.execute("COMMIT", (), write.deadline)
                write.succeed(result)
        except Exception as error:  # raised by `outcome`
            write.fail(error)

    # --- Waiting ----------------------------------------------------------------------------------------------------

    def wait(self, write: Write[Any]) -> None:
        """Until there is news: of the write, or that it may lead."""
        try:
            write.messages.get(timeout=max(0.0, write.deadline - time.monotonic()))
        except queue.Empty:
            if self.withdraw(write):
                write.fail(too_late())
            else:
                # It is being written just now.
                write.messages.get()
        except BaseException:
            self.withdraw(write)
            raise

    def withdraw(self, write: Write[Any]) -> bool:
        """Leave the line; false if somebody writes it already."""
        with self.lock:
            try:
                self.waiting.remove(write)
            except ValueError:
                return False
        # It may have been the one that was woken to lead.
        self.wake_first()
        return True


def too_late() -> TaskBackendUnavailableError:
    return TaskBackendUnavailableError("other threads were writing until the deadline")
