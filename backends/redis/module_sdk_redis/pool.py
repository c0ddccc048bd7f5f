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

from module_sdk.backends import Connector, TaskBackendUnavailableError
from module_sdk.backends import Pool as LinkPool
from module_sdk_redis.connection import Command, Link, connect
from module_sdk_redis.options import Address, LinkSettings

ASKING: Final[Command] = ("ASKING",)


class Pool:
    """At most `most` connections to a server; the one used last is handed out first."""

    def __init__(self, settings: LinkSettings, most: int) -> None:
        self.settings = settings
        self.most = most
        self.is_closed = False
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child: redis-py closes the child's copy of a socket, and leaves the parent's session be."""
        self.links: dict[Address, LinkPool[Link]] = {}

    def links_to(self, address: Address) -> LinkPool[Link]:
        """The connections to one server."""
        try:
            return self.links[address]
        except KeyError:
            links = LinkPool(self.most, self.connector_to(address))
            links.is_closed = self.is_closed
            return self.links.setdefault(address, links)

    def connector_to(self, address: Address) -> Callable[[float], Link]:
        # On a thread: resolving a name heeds no deadline, and each address that it has takes a time of its own.
        connector = Connector(functools.partial(connect, self.settings, address))

        def connect_in_time(deadline: float) -> Link:
            try:
                return connector.connect(deadline)
            except TaskBackendUnavailableError as error:
                # What the router takes as a reason to ask another node.
                raise TimeoutError(str(error)) from error

        return connect_in_time

    def call(self, address: Address, command: Command, deadline: float, *, asking: bool = False) -> Any:
        """The reply of one command, sent once. `asking` comes before what a cluster's ASK has sent here."""
        links = self.links_to(address)
        place = links.take(deadline)
        # As `LinkPool.run` does, without two more calls.
        try:
            link: Link = place.link  # type: ignore[assignment]  # `take` has brought one
            reply = link.call(deadline, ASKING, command) if asking else link.call(deadline, command)
            place.is_settled = True
            return reply
        except ReadOnlyError:
            # The server was demoted; whoever connects anew may find the one that took over.
            links.drop(place)
            self.close_idle()
            raise
        except BaseException as error:
            links.failed(place, error)
            raise
        finally:
            place.back(place)
            links.given()
            del place

    def close(self) -> None:
        """Close what is idle now; what is in use is closed when it comes back."""
        self.is_closed = True
        for links in list(self.links.values()):
            links.close()

    def close_idle(self) -> None:
        for links in list(self.links.values()):
            links.close_idle()
