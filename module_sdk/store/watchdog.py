"""Ends calls to a server at their deadline by shutting their sockets down.

The timeouts of drivers are not enough: they apply per read, so a server that sends a few bytes at a time never exceeds
them, and some drivers have none.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import socket
import threading
import time
from typing import Final

# The longest time from a deadline to the shutdown of the socket.
TICK_SECONDS: Final = 0.05

NEVER: Final = math.inf


class Watch:
    """One socket, and the deadline of the call in progress on it.

    Each watch has its own lock, for which only the watchdog contends: one lock shared by all calls would become the
    bottleneck. A call that has returned first sets `deadline = NEVER`, since no interrupt can come before an
    assignment. Then it takes the lock once; after that the socket is not shut any more.
    """

    __slots__ = ("__weakref__", "deadline", "descriptor", "lock", "was_shut")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.deadline = NEVER
        self.was_shut = False
        self.lock = threading.Lock()

    def shut_if_late(self, now: float) -> None:
        with self.lock:
            if self.deadline <= now:
                self.deadline = NEVER
                self.was_shut = True
                shut(self.descriptor)


class Watchdog:
    """A thread that checks all watched sockets, and sleeps while no call is in progress.

    A signal may interrupt a caller, so callers take no shared lock: the watches are a set, and the bell is a queue.
    """

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty. A forked child needs this too, because the thread does not exist there."""
        self.watches: set[Watch] = set()
        self.is_awake = False
        self.bell: queue.SimpleQueue[None] | None = None
        self.thread: threading.Thread | None = None

    def watch(self, descriptor: int) -> Watch:
        """Watch a socket until `forget` is called. Raise `RuntimeError` if the watchdog thread cannot be started."""
        watch = Watch(descriptor)
        if self.thread is None or not self.thread.is_alive():
            # If no thread can be started this raises before the socket is registered, so no call runs unwatched and
            # the next one retries. If two callers start a thread at once, the thread whose bell was replaced ends.
            self.bell = queue.SimpleQueue()
            thread = threading.Thread(target=self.run, args=(self.bell,), name="module-sdk-watchdog", daemon=True)
            self.thread = thread
            self.is_awake = False
            thread.start()
        self.watches.add(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Stop watching. Call this before the socket is closed, since its number may soon belong to another file."""
        self.watches.discard(watch)

    def begin(self, watch: Watch, deadline: float) -> None:
        """Set the deadline of a call that begins. The socket is shut once it has passed."""
        watch.deadline = deadline
        # The deadline must be set first: the thread clears `is_awake` and then checks again before it sleeps.
        if not self.is_awake and self.bell is not None:
            self.bell.put(None)

    def end(self, watch: Watch) -> None:
        """Clear the deadline of a call that has returned. The socket is not shut after this."""
        watch.deadline = NEVER
        with watch.lock:  # wait for a watchdog that is shutting the socket at this moment
            pass

    def run(self, bell: queue.SimpleQueue[None]) -> None:
        while self.bell is bell:
            self.is_awake = False
            if not self.shut_late_calls():
                bell.get()
            self.is_awake = True
            self.shut_late_calls()
            time.sleep(TICK_SECONDS)

    def shut_late_calls(self) -> bool:
        """Shut the sockets of late calls. Return whether any call is in progress."""
        now = time.monotonic()
        in_progress = False
        for watch in list(self.watches):
            if watch.deadline != NEVER:
                in_progress = True
                watch.shut_if_late(now)
        return in_progress


def shut(descriptor: int) -> None:
    """Shut both directions of a socket, so that a reader sees its end. The descriptor stays open."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


watchdog = Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.reset_after_fork)
