"""Routing of commands to the node that has the namespace's hash slot.

A single server is treated as a cluster that never redirects.
"""

from __future__ import annotations

import time
from typing import Any, Final

from redis.exceptions import (
    AskError,
    ConnectionError,  # noqa: A004  # redis-py's
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004  # redis-py's
)

from module_sdk_redis.errors import is_slot_moving
from module_sdk_redis.options import Address, SentinelSettings, ServerSettings
from module_sdk_redis.pool import Pool
from module_sdk_redis.scripts import Script
from module_sdk_redis.sentinels import Sentinels

MAXIMUM_REDIRECTIONS: Final = 16
PAUSE_SECONDS: Final = 0.02


class Router:
    """Sends commands to the node that answered last.

    All keys of a namespace are in one hash slot, so that node is nearly always the right one.
    """

    def __init__(self, pool: Pool, address: Address) -> None:
        self.pool = pool
        self.address = address
        # The nodes to try when that one fails.
        self.nodes = [address]

    def call(
        self, command: tuple[Any, ...], deadline: float, *, idempotent: bool = False, wait_for_slot: bool = True
    ) -> Any:
        """Return the reply of one command. Raises redis-py's errors.

        An `idempotent` command is sent once more, over another connection, if the connection is lost. With
        `wait_for_slot`, the call retries until the deadline while the hash slot is moving: a command that fails for
        that reason has changed nothing.
        """
        address, asking, redirections = self.address, False, 0
        while True:
            try:
                return self.pool.call(address, command, deadline, asking=asking)
            except AskError as error:
                redirections += 1
                if redirections > MAXIMUM_REDIRECTIONS:
                    raise
                address, asking = (error.host or address[0], error.port), not isinstance(error, MovedError)
                if not asking:
                    self.address = address
            except (ConnectionError, TimeoutError) as error:
                self.fail_over(address)
                if not idempotent or isinstance(error, TimeoutError):
                    raise
                idempotent = False  # one more attempt only
                address, asking = self.address, False
            except ResponseError as error:
                if not wait_for_slot or not is_slot_moving(error) or time.monotonic() + PAUSE_SECONDS > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)
                address, asking, redirections = self.address, False, 0

    def read(self, *command: Any, deadline: float, wait_for_slot: bool = True) -> Any:
        """Return the reply of a command that may be sent twice."""
        return self.call(command, deadline, idempotent=True, wait_for_slot=wait_for_slot)

    def run(
        self,
        script: Script,
        keys: tuple[str, ...],
        arguments: tuple[Any, ...],
        deadline: float,
        *,
        idempotent: bool = False,
        wait_for_slot: bool = True,
    ) -> Any:
        """Return the reply of a script. Its text is sent only if the server does not have the script."""
        rest = (len(keys), *keys, *arguments)
        try:
            return self.call(
                ("EVALSHA", script.digest, *rest), deadline, idempotent=idempotent, wait_for_slot=wait_for_slot
            )
        except NoScriptError:
            return self.call(("EVAL", script.text, *rest), deadline, idempotent=idempotent, wait_for_slot=wait_for_slot)

    def fail_over(self, address: Address) -> None:
        """Send the next command to another node; each node knows which one has the hash slot."""
        if self.address == address:
            index = self.nodes.index(address) if address in self.nodes else -1
            self.address = self.nodes[(index + 1) % len(self.nodes)]

    def learn_nodes(self, deadline: float) -> None:
        """Add the nodes of the cluster to those that `fail_over` can choose."""
        home = self.nodes[0]
        for _, _, *nodes in self.read("CLUSTER", "SLOTS", deadline=deadline):
            for host, port, *_ in nodes:
                node = (host.decode() if host else home[0], int(port))
                if node not in self.nodes:
                    self.nodes.append(node)

    def close(self) -> None:
        """Release the router's own resources; the pool is closed separately."""

    def reset_after_fork(self) -> None:
        """Discard what a forked child must not share with its parent."""


class SentinelRouter(Router):
    """Sends commands to the primary that the sentinels name. A reply counts only if they still name it afterwards."""

    def __init__(self, pool: Pool, settings: SentinelSettings) -> None:
        super().__init__(pool, settings.addresses[0])
        self.settings = settings
        self.reset_after_fork()

    def call(
        self, command: tuple[Any, ...], deadline: float, *, idempotent: bool = False, wait_for_slot: bool = True
    ) -> Any:
        primary = self.sentinels.primary(deadline)
        if primary != self.address:
            self.address = primary
            self.pool.close_idle()
        try:
            reply = self.pool.call(primary, command, deadline)
        except ConnectionError:
            if not idempotent:
                raise
            return self.call(command, deadline, wait_for_slot=wait_for_slot)
        # During the call, the server may have been stopped and a replica promoted.
        if self.sentinels.primary(deadline) != primary:
            raise ReadOnlyError("the sentinels named another primary during the call")
        return reply

    def close(self) -> None:
        self.sentinels.close()

    def reset_after_fork(self) -> None:
        earlier = vars(self).get("sentinels")
        if earlier is not None:
            earlier.close_in_child()
        self.sentinels = Sentinels(self.settings)


def new_router(pool: Pool, settings: ServerSettings) -> Router:
    return Router(pool, settings.address) if settings.sentinels is None else SentinelRouter(pool, settings.sentinels)
