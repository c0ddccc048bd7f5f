"""A bounded pool of connections to one server, or to each node of a cluster.

redis-py's client makes a lookup take half as long again, and its pools wait for one fixed timeout, not until a call's
deadline. Each address therefore has a `ConnectionPool` of `module_sdk`.
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
    """At most `maximum` connections per server; the most recently used one is taken first."""

    def __init__(self, settings: ConnectionSettings, maximum: int) -> None:
        self.settings = settings
        self.maximum = maximum
        self.is_closed = False
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start without connections, also in a forked child.

        The child can drop those of its parent: redis-py closes only the child's copy of a socket, so the parent's
        session continues.
        """
        self.pools: dict[Address, ConnectionPool[RedisConnection]] = {}

    def pool_of(self, address: Address) -> ConnectionPool[RedisConnection]:
        """Return the pool of one server, which is created on first use."""
        try:
            return self.pools[address]
        except KeyError:
            pool = ConnectionPool(self.maximum, self.connector_to(address))
            pool.is_closed = self.is_closed
            return self.pools.setdefault(address, pool)

    def connector_to(self, address: Address) -> Callable[[float], RedisConnection]:
        # `Connector` uses a thread: name resolution has no deadline, and each resolved address gets a full timeout.
        connector = Connector(functools.partial(connect, self.settings, address))

        def connect_in_time(deadline: float) -> RedisConnection:
            try:
                return connector.connect(deadline)
            except TaskBackendUnavailableError as error:
                # The router fails over to another node on this error.
                raise TimeoutError(str(error)) from error

        return connect_in_time

    def call(self, address: Address, command: Command, deadline: float, *, asking: bool = False) -> Any:
        """Send one command once and return its reply. Raises redis-py's errors.

        `asking` sends ASKING first, as a cluster requires after an ASK redirection.
        """
        pool = self.pool_of(address)
        slot = pool.take(deadline)
        # The steps of `ConnectionPool.run`, inlined to save two calls.
        try:
            connection: RedisConnection = slot.item  # type: ignore[assignment]  # `take` has connected it
            reply = connection.call(deadline, ASKING, command) if asking else connection.call(deadline, command)
            slot.is_settled = True
            return reply
        except ReadOnlyError:
            # The server was demoted to a replica; a new connection may reach the new primary.
            pool.drop(slot)
            self.close_idle()
            raise
        except BaseException as error:
            pool.failed(slot, error)
            raise
        finally:
            slot.back(slot)
            pool.announce_return()
            del slot

    def close(self) -> None:
        """Close idle connections now, and each connection in use when it is returned."""
        self.is_closed = True
        for pool in list(self.pools.values()):
            pool.close()

    def close_idle(self) -> None:
        """Close idle connections, so that the next calls open new ones."""
        for pool in list(self.pools.values()):
            pool.close_idle()
