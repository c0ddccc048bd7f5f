"""Which server is the primary, according to the majority of the sentinels.

An isolated primary still calls itself one, and the sentinels that are isolated with it agree. So the majority of all
sentinels decides. While the manager is in use, a thread per sentinel asks it several times a second, and a lookup reads
the latest verdict without a lock. redis-py's `Sentinel` is not sufficient: it trusts the first sentinel that answers,
has no deadline, and asks only when it connects.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from module_sdk.backends import ConfigurationError, Latch, Slot, SlotPool
from module_sdk_redis.connection import ErrorReply, RedisConnection, connect, translated
from module_sdk_redis.options import Address, SentinelSettings

POLL_SECONDS: Final = 0.2
# How long a verdict is valid, counted from when the majority was asked.
FRESH_SECONDS: Final = 0.8
ASK_SECONDS: Final = 0.6
CONNECT_SECONDS: Final = 2.0
# No sentinel is asked once the manager has been unused for this long.
IDLE_SECONDS: Final = 5.0
# How often a call that waits for a verdict checks for one.
CHECK_SECONDS: Final = 0.005
# In these states, the elected sentinel is about to promote a replica, or has done so but does not know it yet.
PROMOTING: Final = frozenset(("select_slave", "send_slaveof_noone", "wait_promotion"))
RIGHTS: Final = "+sentinel|master +sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|myid"


@dataclasses.dataclass(frozen=True, slots=True)
class Vote:
    """The answer of one sentinel."""

    sentinel: str
    """The id of the sentinel, since two addresses may reach the same one."""
    primary: Address
    epoch: int
    """Rises with each failover; a sentinel with the highest epoch knows of the last one."""
    is_down: bool
    is_promoting: bool
    others: frozenset[Address]
    size: int
    """How many sentinels there are, according to this one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The primary that a majority of the votes yields."""

    primary: Address | None
    reason: str
    """Why there is no primary."""
    asked_at: float
    """When the majority was asked, on the clock of `time.monotonic()`."""


NO_VERDICT: Final = Verdict(None, "", -math.inf)


class Sentinels:
    """Keeps track of the primary. Its threads end when the manager is closed, or unused for a while."""

    def __init__(self, settings: SentinelSettings) -> None:
        self.settings = settings
        self.lock = threading.Lock()
        self.ended = Latch()
        self.members = {address: Member(self, address) for address in settings.addresses}
        self.verdict = NO_VERDICT
        self.used_at = -math.inf

    def primary(self, deadline: float) -> Address:
        """Return the server that a majority named as the primary less than a second ago.

        Raises redis-py's errors if there is no primary, or if no majority answers in time, and `ConfigurationError` if
        the reason is a setup fault.
        """
        began = self.used_at = time.monotonic()
        while True:
            members = list(self.members.values())
            # In this order: a member updates the verdict before `asked_at`, so the verdict includes all these answers.
            all_asked = all(member.asked_at >= began for member in members)
            verdict = self.verdict
            if time.monotonic() - verdict.asked_at < FRESH_SECONDS:
                if verdict.primary is None:
                    raise redis.ConnectionError(verdict.reason)
                return verdict.primary
            if self.ended.is_set:
                raise redis.ConnectionError("the sentinels are no longer asked: the manager was closed")
            late = time.monotonic() >= deadline
            if late or all_asked:
                raise self.failure(members, late=late)
            for member in members:
                member.start()
            time.sleep(CHECK_SECONDS)

    def failure(self, members: Sequence[Member], *, late: bool) -> Exception:
        """Return an error that says why there is no majority."""
        errors = [member.error for member in members if member.error is not None]
        for error in errors:
            if isinstance(error, AuthenticationError):
                return ConfigurationError("a sentinel refuses sentinel_username or sentinel_password")
            if isinstance(error, NoPermissionError):
                return ConfigurationError(f"the user of the sentinels lacks a right: {RIGHTS}")
            if isinstance(error, ResponseError) and "No such master" in str(error):
                return ConfigurationError(f"the sentinels know no service {self.settings.service!r}")
        why = f"; one failed with {type(errors[0]).__name__}: {errors[0]}" if errors else ""
        text = f"no majority of the {len(members)} sentinels has answered{why}"
        return redis.TimeoutError(text) if late else redis.ConnectionError(text)

    def record(self, member: Member, answer: Vote | Exception, asked_at: float) -> None:
        """Record the vote of a member, or its error. Called on the thread of that member."""
        with self.lock:
            if isinstance(answer, Vote):
                member.vote, member.voted_at, member.error = answer, asked_at, None
                self.update_members()
            else:
                member.error = answer
            self.count_votes(time.monotonic() - FRESH_SECONDS)
            member.asked_at = asked_at

    def update_members(self) -> None:
        """Ask the sentinels that the URL or another sentinel names, and no others."""
        votes = [member.vote for member in self.members.values() if member.vote is not None]
        named = {*self.settings.addresses, *(address for vote in votes for address in vote.others)}
        if named != self.members.keys():
            self.members = {address: self.members.get(address) or Member(self, address) for address in named}
            for member in self.members.values():
                member.start()

    def count_votes(self, since: float) -> None:
        """Update the verdict if a majority has voted since that moment."""
        votes: dict[str, tuple[float, Vote]] = {}
        unknown = 0
        for address, member in self.members.items():
            vote = member.vote
            if vote is None:
                unknown += address in self.settings.addresses
            elif vote.sentinel not in votes or votes[vote.sentinel][0] < member.voted_at:
                votes[vote.sentinel] = (member.voted_at, vote)
        fresh = sorted(((at, vote) for at, vote in votes.values() if at >= since), key=lambda pair: -pair[0])
        named = {self.members[address].vote for address in self.settings.addresses}
        size = max(
            [unknown + len({vote.sentinel for vote in named if vote is not None}), *(vote.size for _, vote in fresh)]
        )
        majority = size // 2 + 1
        if len(fresh) >= majority:
            primary, reason = decision([vote for _, vote in fresh], majority)
            self.verdict = Verdict(primary, reason, fresh[majority - 1][0])

    def close(self) -> None:
        self.ended.set()

    def close_in_child(self) -> None:
        """Close a forked child's copies of its parent's sockets. The threads of the parent do not run in the child."""
        self.ended.set()
        for member in self.members.values():
            member.disconnect()


def decision(votes: Sequence[Vote], majority: int) -> tuple[Address | None, str]:
    """Return the primary, or `None` and the reason why there is none."""
    if any(vote.is_promoting for vote in votes):
        return None, "the sentinels are promoting a replica"
    last = max(vote.epoch for vote in votes)
    primaries = {vote.primary for vote in votes if vote.epoch == last}
    if len(primaries) > 1:
        return None, "the sentinels name several primaries"
    if sum(vote.is_down for vote in votes if vote.epoch == last) >= majority:
        return None, "the sentinels call the primary down"
    return primaries.pop(), ""


class Member:
    """One sentinel, and the thread that asks it."""

    def __init__(self, group: Sentinels, address: Address) -> None:
        self.group = group
        self.address = address
        self.connection: RedisConnection | None = None
        self.vote: Vote | None = None
        self.voted_at = -math.inf
        self.error: Exception | None = None
        self.asked_at = -math.inf
        """The time at which the last question was sent that was answered or failed."""
        # The thread keeps the slot for as long as it runs, so that no second thread starts.
        self.running: SlotPool[None] = SlotPool(1)

    def start(self) -> None:
        """Start the thread, unless it is running."""
        slot = self.running.take_free()
        if slot is None:
            return
        thread = threading.Thread(target=self.run, args=(slot,), name="module-sdk-redis-sentinel", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if thread.ident is None:  # it did not start: the system has no more threads
                self.running.put_back(slot)
            raise

    def run(self, slot: Slot[None]) -> None:
        group = self.group
        try:
            while self.is_wanted():
                asked_at = time.monotonic()
                try:
                    if self.connection is None:
                        self.connection = connect(group.settings.connection, self.address, asked_at + CONNECT_SECONDS)
                        asked_at = time.monotonic()
                    answer: Vote | Exception = self.ask(self.connection, asked_at + ASK_SECONDS)
                except Exception as error:  # `failure` reports it to a caller that needs a majority
                    self.disconnect()
                    answer = error
                group.record(self, answer, asked_at)
                group.ended.wait(POLL_SECONDS)
        finally:
            self.disconnect()
            self.running.put_back(slot)

    def is_wanted(self) -> bool:
        group = self.group
        is_used = time.monotonic() - group.used_at < IDLE_SECONDS
        return is_used and not group.ended.is_set and group.members.get(self.address) is self

    def ask(self, connection: RedisConnection, deadline: float) -> Vote:
        service = self.group.settings.service
        replies = connection.exchange(
            deadline,
            ("SENTINEL", "MYID"),
            ("SENTINEL", "MASTER", service),
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service),
            ("SENTINEL", "SENTINELS", service),
        )
        for reply in replies:
            if isinstance(reply, ErrorReply):
                raise translated(reply)
        own_id, master, primary, others = replies
        return vote_of(own_id.decode(), fields_of(master), primary, [fields_of(other) for other in others])

    def disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def vote_of(own_id: str, master: Mapping[str, str], primary: Any, others: Sequence[Mapping[str, str]]) -> Vote:
    if primary is None:
        raise ResponseError("No such master with that name")
    address = (primary[0].decode(), int(primary[1]))
    flags = set(master["flags"].split(","))
    # Once it has promoted a replica, the leader names that one, but these fields still describe the old primary.
    is_described = address == (master["ip"], int(master["port"]))
    return Vote(
        sentinel=own_id,
        primary=address,
        epoch=int(master["config-epoch"]),
        is_down=is_described and not flags.isdisjoint(("s_down", "o_down")),
        is_promoting=is_described and master.get("failover-state") in PROMOTING,
        others=frozenset((other["ip"], int(other["port"])) for other in others),
        size=int(master["num-other-sentinels"]) + 1,
    )


def fields_of(reply: Sequence[bytes]) -> dict[str, str]:
    texts = [part.decode(errors="replace") for part in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))
