"""A bounded pool of connections to one server, or to each node of one cluster.

redis-py's client adds half to the time of a lookup, and its pools wait by one fixed timeout. So the pool of
`module_sdk` is used, one for each address.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import (
    ReadOnlyError,
    TimeoutError,  # noqa: A004  # redis-py's
)

from module_sdk.backends import ConnectionPool, Connector, TaskBackendUnavailableError
from module_sdk_redis.connection import Command, RedisConnection, connect
from module_sdk_redis.options import Address, ConnectionSettings

ASKING: Final[Command] = ("ASKING",)


class Pool:
    """At most `most` connections to a server; the one used last is handed out first."""

    def __init__(self, settings: ConnectionSettings, most: int) -> None:
        self.settings = settings
        self.most = most
        self.is_closed = False
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Also in a forked child: redis-py closes the child's copy of a socket, and leaves the parent's session be."""
        self.links: dict[Address, ConnectionPool[RedisConnection]] = {}

    def pool_of(self, address: Address) -> ConnectionPool[RedisConnection]:
        """The connections to one server."""
        try:
            return self.links[address]
        except KeyError:
            links = ConnectionPool(self.most, self.connector_to(address))
            links.is_closed = self.is_closed
            return self.links.setdefault(address, links)

    def connector_to(self, address: Address) -> Callable[[float], RedisConnection]:
        # On a thread: resolving a name heeds no deadline, and each address that it has takes a time of its own.
        connector = Connector(functools.partial(connect, self.settings, address))

        def connect_in_time(deadline: float) -> RedisConnection:
            try:
                return connector.connect(deadline)
            except TaskBackendUnavailableError as error:
                # What the router takes as a reason to ask another node.
                raise TimeoutError(str(error)) from error

        return connect_in_time

    def call(self, address: Address, command: Command, deadline: float, *, asking: bool = False) -> Any:
        """The reply of one command, sent once. `asking` comes before what a cluster's ASK has sent here."""
        links = self.pool_of(address)
        slot = links.take(deadline)
        # As `ConnectionPool.run` does, without two more calls.
        try:
            connection: RedisConnection = slot.item  # type: ignore[assignment]  # `take` has brought one
            reply = connection.call(deadline, ASKING, command) if asking else connection.call(deadline, command)
            slot.is_settled = True
            return reply
        except ReadOnlyError:
            # The server was demoted; whoever connects anew may find the one that took over.
            links.drop(slot)
            self.close_idle()
            raise
        except BaseException as error:
            links.failed(slot, error)
            raise
        finally:
            slot.back(slot)
            links.given()
            del slot

    def close(self) -> None:
        """Close what is idle now; what is in use is closed when it comes back."""
        self.is_closed = True
        for links in list(self.links.values()):
            links.close()

    def close_idle(self) -> None:
        for links in list(self.links.values()):
            links.close_idle()
