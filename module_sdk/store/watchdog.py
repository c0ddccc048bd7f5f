"""Ends calls to a server at their deadline by shutting their sockets.

Drivers' timeouts are not enough: they count for each read, so a server that drips bytes is never late, and some drivers
have none.
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

# How late a socket may be shut.
TICK_SECONDS: Final = 0.05


NEVER: Final = math.inf


class Watch:
    """One socket, and by when the call under way on it must end.

    It has a lock of its own, for which only the watchdog ever contends: threads that queue for one lock at each call
    would do little else. A call that has come back sets `deadline = NEVER` itself, since no interrupt comes before an
    assignment, and then takes the lock once: after that nothing is shut.
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
    """One thread looks at all sockets, and sleeps while there is no call under way.

    The sides that a signal may interrupt hold no lock of it: the watches are one set, and the bell is a queue.
    """

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Also in a forked child, where the thread is not."""
        self.watches: set[Watch] = set()
        self.is_awake = False
        self.bell: queue.SimpleQueue[None] | None = None
        self.thread: threading.Thread | None = None

    def watch(self, descriptor: int) -> Watch:
        """From here to `forget` it is looked at."""
        watch = Watch(descriptor)
        if self.thread is None or not self.thread.is_alive():
            # Raises where no more threads can be had: then nobody is left unwatched, and the next call tries again.
            # Of two that start at once the one that is not `self.thread` ends at once.
            self.bell = queue.SimpleQueue()
            thread = threading.Thread(target=self.run, args=(self.bell,), name="module-sdk-watchdog", daemon=True)
            self.thread = thread
            self.is_awake = False
            thread.start()
        self.watches.add(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Before the socket is closed, since its number may soon belong to another file."""
        self.watches.discard(watch)

    def begin(self, watch: Watch, deadline: float) -> None:
        """A call begins: its socket is shut when the deadline has passed."""
        watch.deadline = deadline
        # In this order: before the thread goes to sleep it looks once more.
        if not self.is_awake and self.bell is not None:
            self.bell.put(None)

    def end(self, watch: Watch) -> None:
        """The call has come back; from here on nothing is shut."""
        watch.deadline = NEVER
        with watch.lock:  # the socket may be shut at this very moment
            pass

    def run(self, bell: queue.SimpleQueue[None]) -> None:
        while self.bell is bell:
            self.is_awake = False
            if not self.look():
                bell.get()
            self.is_awake = True
            self.look()
            time.sleep(TICK_SECONDS)

    def look(self) -> bool:
        """Shut what is late; whether any call is under way."""
        now = time.monotonic()
        under_way = False
        for watch in list(self.watches):
            if watch.deadline != NEVER:
                under_way = True
                watch.shut_if_late(now)
        return under_way


def shut(descriptor: int) -> None:
    """End both directions of a socket, so that whoever reads from it sees its end; it stays open."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


watchdog = Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.reset_after_fork)
