"""A bounded pool of connections to one server, or to the nodes of one cluster.

redis-py's client adds half to the time of a lookup, and its pools wait by one fixed timeout. What is left to do is a
list of idle connections for each address, and a counter of free places that waits by the call's deadline.
"""

from __future__ import annotations

import collections
import contextlib
from typing import Any, Final

from redis.exceptions import ReadOnlyError, ResponseError

from module_sdk.backends import Places, TaskBackendError, TaskBackendUnavailableError
from module_sdk_redis.bounded import Command, Connector, Link
from module_sdk_redis.options import Address, LinkSettings

ASKING: Final[Command] = ("ASKING",)


class Pool:
    """At most `most` connections in use at once; the one used last is handed out first."""

    def __init__(self, settings: LinkSettings, most: int) -> None:
        self.settings = settings
        self.most = most
        self.is_closed = False
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child: redis-py closes the child's copy of a socket, and leaves the parent's session be."""
        self.connector = Connector(self.settings)
        self.places = Places(self.most)
        self.idle: collections.defaultdict[Address, collections.deque[Link]] = collections.defaultdict(
            collections.deque
        )

    def call(self, address: Address, command: Command, deadline: float, *, asking: bool = False) -> Any:
        """The reply of one command, sent once. `asking` comes before what a cluster's ASK has sent here."""
        link = self.take(address, deadline)
        try:
            reply = link.call(deadline, ASKING, command) if asking else link.call(deadline, command)
        except ReadOnlyError:
            # The server was demoted; whoever connects anew may find the one that took over.
            self.drop(link)
            self.close_idle()
            raise
        except ResponseError:
            self.give(address, link)
            raise
        except BaseException:
            self.drop(link)
            raise
        self.give(address, link)
        return reply

    def take(self, address: Address, deadline: float) -> Link:
        if not self.places.take(deadline):
            raise TaskBackendUnavailableError(f"all {self.most} connections were busy until the deadline")
        try:
            idle = self.idle[address]
            while True:
                # No context manager here: it would be the dearest part of taking a connection.
                try:
                    link = idle.pop()
                except IndexError:
                    break
                if not link.is_stale():
                    return link
                link.close()
            if self.is_closed:
                raise TaskBackendError("the task manager is closed")
            return self.connector.connect(address, deadline)
        except BaseException:
            self.places.give()
            raise

    def give(self, address: Address, link: Link) -> None:
        self.idle[address].append(link)
        self.places.give()
        # A close in between has missed this one.
        if self.is_closed:
            self.close_idle()

    def drop(self, link: Link) -> None:
        link.close()
        self.places.give()

    def close(self) -> None:
        """Close what is idle now; what is in use is closed when it comes back."""
        self.is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        for idle in list(self.idle.values()):
            while idle:
                with contextlib.suppress(IndexError):
                    idle.pop().close()
