"""Sends commands to the node that has the namespace's slot; a single server is a cluster that never redirects."""

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
    """Follows one slot: all keys of a namespace are in it, so the last node that answered is nearly always right."""

    def __init__(self, pool: Pool, address: Address) -> None:
        self.pool = pool
        self.address = address
        # Whom to ask when that node is gone.
        self.nodes = [address]

    def call(self, command: tuple[Any, ...], deadline: float, *, again: bool = False, patient: bool = True) -> Any:
        """The reply of one command. Raises redis-py's errors.

        `again` sends it a second time over another connection if the first was lost, which only a read may. While the
        slot is moving, the caller who is `patient` waits; nothing was done before the error.
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
                self.leave(address)
                if not again or isinstance(error, TimeoutError):
                    raise
                again = False
                address, asking = self.address, False
            except ResponseError as error:
                if not patient or not is_slot_moving(error) or time.monotonic() + PAUSE_SECONDS > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)
                address, asking, redirections = self.address, False, 0

    def read(self, *command: Any, deadline: float, patient: bool = True) -> Any:
        return self.call(command, deadline, again=True, patient=patient)

    def run(
        self,
        script: Script,
        keys: tuple[str, ...],
        arguments: tuple[Any, ...],
        deadline: float,
        *,
        again: bool = False,
        patient: bool = True,
    ) -> Any:
        """The reply of a script, which is sent whole where the server does not have it."""
        rest = (len(keys), *keys, *arguments)
        try:
            return self.call(("EVALSHA", script.digest, *rest), deadline, again=again, patient=patient)
        except NoScriptError:
            return self.call(("EVAL", script.text, *rest), deadline, again=again, patient=patient)

    def leave(self, address: Address) -> None:
        """Ask another node next time: any knows who has the slot."""
        if self.address == address:
            place = self.nodes.index(address) if address in self.nodes else -1
            self.address = self.nodes[(place + 1) % len(self.nodes)]

    def learn_nodes(self, deadline: float) -> None:
        """Remember the nodes of the cluster."""
        home = self.nodes[0]
        for _, _, *nodes in self.read("CLUSTER", "SLOTS", deadline=deadline):
            for host, port, *_ in nodes:
                node = (host.decode() if host else home[0], int(port))
                if node not in self.nodes:
                    self.nodes.append(node)

    def close(self) -> None:
        """Release what a router holds besides the pool."""

    def reset_after_fork(self) -> None:
        """In a forked child."""


class SentinelRouter(Router):
    """Sends commands to the primary that the sentinels name, and believes it only while they do."""

    def __init__(self, pool: Pool, settings: SentinelSettings) -> None:
        super().__init__(pool, settings.addresses[0])
        self.settings = settings
        self.reset_after_fork()

    def call(self, command: tuple[Any, ...], deadline: float, *, again: bool = False, patient: bool = True) -> Any:
        primary = self.sentinels.primary(deadline)
        if primary != self.address:
            self.address = primary
            self.pool.close_idle()
        try:
            reply = self.pool.call(primary, command, deadline)
        except ConnectionError:
            if not again:
                raise
            return self.call(command, deadline, patient=patient)
        # It may have been stopped, and a replica promoted, while the call was under way.
        if self.sentinels.primary(deadline) != primary:
            raise ReadOnlyError("the sentinels have named another primary meanwhile")
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
