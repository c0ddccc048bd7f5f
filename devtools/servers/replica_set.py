"""Replica sets of real servers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, NotPrimaryError

from devtools.servers.kinds import MongoDB

NAME: Final = "rs"
OPTIONS: Final = ("--replSet", NAME, "--oplogSize", "16")
ELECTION_SECONDS: Final = 30


class Member(MongoDB):
    """One server of a replica set, with a direct connection: before the set is initiated there is no primary."""

    @property
    def base_url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def command_answer(self, *command: Any, **arguments: Any) -> dict[str, Any]:
        with MongoClient[dict[str, Any]](self.base_url) as client:
            return client.admin.command(*command, **arguments)

    def is_primary(self) -> bool:
        with contextlib.suppress(AutoReconnect):
            return bool(self.command_answer("hello")["isWritablePrimary"])
        return False


class ReplicaSet:
    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.url = f"mongodb://{','.join(f'127.0.0.1:{member.port}' for member in members)}/?replicaSet={NAME}"

    def initiate(self) -> None:
        members = [{"_id": number, "host": f"127.0.0.1:{member.port}"} for number, member in enumerate(self.members)]
        settings = {"electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200}
        configuration = {"_id": NAME, "members": members, "settings": settings}
        self.members[0].command_answer("replSetInitiate", configuration)
        self.primary()

    def primary(self) -> Member:
        """Wait for an election, and return the member that accepts writes. Raise `TimeoutError` if there is none."""
        end = time.monotonic() + ELECTION_SECONDS
        while time.monotonic() < end:
            for member in self.members:
                if member.process is not None and member.is_primary():
                    return member
            time.sleep(0.1)
        raise TimeoutError("no primary was elected")

    def step_down(self) -> None:
        """Make the primary step down at once, so that another is elected."""
        # The server may close the connection instead of answering.
        with contextlib.suppress(AutoReconnect, NotPrimaryError):
            self.primary().command_answer("replSetStepDown", 2, force=True)


@contextlib.contextmanager
def replica_set(size: int) -> Iterator[ReplicaSet]:
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(Member(*OPTIONS)) for _ in range(size)]
        made = ReplicaSet(members)
        made.initiate()
        yield made
