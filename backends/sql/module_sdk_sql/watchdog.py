"""Ends calls to a server at their deadline by shutting their sockets.

Drivers' timeouts are not enough: they count for each read, so a server that drips bytes is never late, and some drivers
have none.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Final

# How late a socket may be shut.
TICK_SECONDS: Final = 0.05


class Watch:
    """One call under way on one socket."""

    __slots__ = ("deadline", "descriptor", "was_shut")

    def __init__(self, descriptor: int, deadline: float) -> None:
        self.descriptor = descriptor
        self.deadline = deadline
        self.was_shut = False


class Watchdog:
    """One thread looks at all calls under way, and sleeps while there are none."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child: no thread is there, and the lock may have been held by one."""
        self.lock = threading.Lock()
        self.watches: set[Watch] = set()
        self.awake = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self, descriptor: int, deadline: float) -> Watch:
        """From here on the socket is shut when the deadline has passed."""
        watch = Watch(descriptor, deadline)
        with self.lock:
            self.watches.add(watch)
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, name="module-sdk-watchdog", daemon=True)
                self.thread.start()
        if not self.awake.is_set():
            self.awake.set()
        return watch

    def end(self, watch: Watch) -> None:
        """After this the descriptor may be closed, and its number belong to another file."""
        with self.lock:
            self.watches.discard(watch)

    def run(self) -> None:
        while True:
            self.awake.wait()
            with self.lock:
                if not self.watches:
                    self.awake.clear()
                    continue
                now = time.monotonic()
                for watch in [watch for watch in self.watches if watch.deadline <= now]:
                    self.watches.discard(watch)
                    watch.was_shut = True
                    shut(watch.descriptor)
            time.sleep(TICK_SECONDS)


def shut(descriptor: int) -> None:
    """End both directions of a socket, so that whoever reads from it sees its end; it stays open."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


watchdog = Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.start_anew)
