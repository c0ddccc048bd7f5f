"""Clusters of real Valkey servers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import redis

from devtools.servers.kinds import PASSWORD, Valkey
from devtools.servers.process import free_port

SLOTS: Final = 16_384
AGREEMENT_SECONDS: Final = 30
NODE_TIMEOUT_MILLISECONDS: Final = 1_000


class Node(Valkey):
    """One server of a cluster; `ask` sends commands to this server only."""

    def __init__(self) -> None:
        super().__init__()
        self.bus_port = free_port()

    def command(self) -> Sequence[str | Path]:
        timeout = ["--cluster-node-timeout", str(NODE_TIMEOUT_MILLISECONDS)]
        bus = ["--cluster-enabled", "yes", "--cluster-port", str(self.bus_port), *timeout]
        return [*super().command(), *bus, "--primaryauth", PASSWORD, "--cluster-replica-validity-factor", "0"]

    def ask(self, *command: Any) -> Any:
        with redis.Redis.from_url(self.base_url, decode_responses=True, protocol=2) as client:
            return client.execute_command(*command)

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER", "MYID"))

    def sees_whole_cluster(self, size: int) -> bool:
        """Return whether the node sees all slots served and knows `size` nodes."""
        lines = str(self.ask("CLUSTER", "INFO")).splitlines()
        return {"cluster_state:ok", f"cluster_known_nodes:{size}"} <= set(lines)


class Cluster:
    """A cluster, whose `primaries` share the slots and whose `replicas` follow them in the same order."""

    def __init__(self, primaries: list[Node], replicas: list[Node]) -> None:
        self.primaries = primaries
        self.replicas = replicas

    @property
    def url(self) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.primaries[0].port}"

    def form(self) -> None:
        first, *others = (*self.primaries, *self.replicas)
        for node in others:
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        size = SLOTS // len(self.primaries) + 1
        for number, node in enumerate(self.primaries):
            last = min((number + 1) * size, SLOTS) - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * size, last)
        self.agree()
        for primary, replica in zip(self.primaries, self.replicas, strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.id)
        wait_until(lambda: all(replica.ask("ROLE")[3] == "connected" for replica in self.replicas))

    def agree(self) -> None:
        """Wait until every running node sees all slots served."""
        nodes = [node for node in (*self.primaries, *self.replicas) if node.process is not None]
        total = len(self.primaries) + len(self.replicas)
        wait_until(lambda: all(node.sees_whole_cluster(total) for node in nodes))

    def slot(self, namespace: str) -> int:
        return int(self.primaries[0].ask("CLUSTER", "KEYSLOT", f"{{{namespace}}}:"))

    def owner(self, slot: int) -> Node:
        """Return the node that serves the slot: its primary, or the replica that took over."""
        for start, end, (_, port, *_), *_ in self.running()[0].ask("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return next(node for node in (*self.primaries, *self.replicas) if node.port == port)
        raise LookupError(f"no node serves the slot {slot}")

    def running(self) -> list[Node]:
        return [node for node in (*self.primaries, *self.replicas) if node.process is not None]

    def open_slot(self, slot: int, source: Node, target: Node) -> None:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, slot: int, source: Node, target: Node, maximum: int) -> int:
        """Move at most `maximum` keys of an open slot, and return how many were moved."""
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, maximum)
        if keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "AUTH", PASSWORD, "KEYS", *keys)
        return len(keys)

    def close_slot(self, slot: int, target: Node) -> None:
        """Assign the slot to the node that now has its keys. That node learns it first: a slot must have an owner."""
        for node in (target, *self.primaries):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)


def wait_until(condition: Any, seconds: float = AGREEMENT_SECONDS) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(redis.RedisError):
            if condition():
                return
        time.sleep(0.05)
    raise TimeoutError("the condition was not met in time")


@contextlib.contextmanager
def cluster(size: int) -> Iterator[Cluster]:
    """Start a cluster of `size` primaries with one replica each, and wait until it is ready."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Node()) for _ in range(2 * size)]
        made = Cluster(nodes[:size], nodes[size:])
        made.form()
        yield made
