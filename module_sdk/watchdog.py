"""Ends calls to a server at their deadline by shutting their sockets.

Drivers' timeouts are not enough: they count for each read, so a server that drips bytes is never late, and some drivers
have none.
"""

from __future__ import annotations

import contextlib
import math
import os
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
    would do little else.
    """

    __slots__ = ("deadline", "descriptor", "lock", "was_shut")

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
    """One thread looks at all sockets, and sleeps while there is no call under way."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child: no thread is there, and the lock may have been held by one."""
        self.lock = threading.Lock()
        self.watches: set[Watch] = set()
        self.awake = threading.Event()
        self.thread: threading.Thread | None = None

    def watch(self, descriptor: int) -> Watch:
        """From here to `forget` it is looked at."""
        watch = Watch(descriptor)
        with self.lock:
            if self.thread is None:
                thread = threading.Thread(target=self.run, name="module-sdk-watchdog", daemon=True)
                # Raises where no more threads can be had: then nobody is left unwatched, and the next call tries again.
                thread.start()
                self.thread = thread
            self.watches.add(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Before the socket is closed, since its number may soon belong to another file."""
        with self.lock:
            self.watches.discard(watch)

    def begin(self, watch: Watch, deadline: float) -> None:
        """A call begins: its socket is shut when the deadline has passed."""
        watch.deadline = deadline
        # In this order: whoever goes to sleep looks once more after that.
        if not self.awake.is_set():
            self.awake.set()

    def end(self, watch: Watch) -> None:
        """The call has come back; from here on nothing is shut."""
        with watch.lock:
            watch.deadline = NEVER

    def run(self) -> None:
        while True:
            self.awake.wait()
            if not self.look():
                self.awake.clear()
                if self.look():
                    self.awake.set()
            time.sleep(TICK_SECONDS)

    def look(self) -> bool:
        """Shut what is late; whether any call is under way."""
        with self.lock:
            watches = list(self.watches)
        now = time.monotonic()
        under_way = False
        for watch in watches:
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
    os.register_at_fork(after_in_child=watchdog.start_anew)
