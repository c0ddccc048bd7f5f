"""Which server is the primary, as the majority of the sentinels has it.

An isolated primary goes on calling itself one, and the sentinels that are isolated with it agree. So the majority of
all sentinels decides. Each is asked several times a second while the manager is in use, on a thread of its own, and a
lookup reads what they said last without a lock. redis-py's `Sentinel` would not do: it believes the first sentinel that
answers, knows no deadline, and asks only when it connects.
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
# What the majority said counts for so long, from when it was asked.
FRESH_SECONDS: Final = 0.8
ASK_SECONDS: Final = 0.6
CONNECT_SECONDS: Final = 2.0
# A manager that is not used asks no sentinel.
IDLE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.005
# A sentinel that was elected by the others is about to promote a replica, or has done so and does not know it yet.
PROMOTING: Final = frozenset(("select_slave", "send_slaveof_noone", "wait_promotion"))
RIGHTS: Final = "+sentinel|master +sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|myid"


@dataclasses.dataclass(frozen=True, slots=True)
class Vote:
    """What one sentinel says."""

    sentinel: str
    """Its id: one sentinel may be reached by two addresses."""
    primary: Address
    epoch: int
    """Rises with each failover; who has the highest knows of the last one."""
    is_down: bool
    is_promoting: bool
    others: frozenset[Address]
    size: int
    """How many sentinels there are, as far as this one knows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    primary: Address | None
    reason: str
    """Why there is none."""
    asked_at: float
    """When a majority had been asked, on the clock of `time.monotonic()`."""


NO_VERDICT: Final = Verdict(None, "", -math.inf)


class Sentinels:
    """Knows the primary. Its threads end when the manager is closed, or is not used for a while."""

    def __init__(self, settings: SentinelSettings) -> None:
        self.settings = settings
        self.lock = threading.Lock()
        self.ended = Latch()
        self.members = {address: Member(self, address) for address in settings.addresses}
        self.verdict = NO_VERDICT
        self.used_at = -math.inf

    def primary(self, deadline: float) -> Address:
        """The server that is the primary, as a majority said less than a second ago.

        Raises `ConfigurationError`, or redis-py's errors where there is none, or where no majority answers in time.
        """
        began = self.used_at = time.monotonic()
        while True:
            members = list(self.members.values())
            # In this order: a member settles the verdict before it says when it asked.
            all_asked = all(member.asked_at >= began for member in members)
            verdict = self.verdict
            if time.monotonic() - verdict.asked_at < FRESH_SECONDS:
                if verdict.primary is None:
                    raise redis.ConnectionError(verdict.reason)
                return verdict.primary
            if self.ended.is_set:
                raise redis.ConnectionError("the sentinels are not asked any more")
            late = time.monotonic() >= deadline
            if late or all_asked:
                raise self.failure(members, late=late)
            for member in members:
                member.start()
            time.sleep(LOOK_SECONDS)

    def failure(self, members: Sequence[Member], *, late: bool) -> Exception:
        """Why there is no majority."""
        errors = [member.error for member in members if member.error is not None]
        for error in errors:
            if isinstance(error, AuthenticationError):
                return ConfigurationError("a sentinel refuses sentinel_username or sentinel_password")
            if isinstance(error, NoPermissionError):
                return ConfigurationError(f"the user of the sentinels lacks a right: {RIGHTS}")
            if isinstance(error, ResponseError) and "No such master" in str(error):
                return ConfigurationError(f"the sentinels know no service {self.settings.service!r}")
        why = f"; one said: {type(errors[0]).__name__}: {errors[0]}" if errors else ""
        text = f"no majority of the {len(members)} sentinels has answered{why}"
        return redis.TimeoutError(text) if late else redis.ConnectionError(text)

    def hear(self, member: Member, answer: Vote | Exception, asked_at: float) -> None:
        """On the thread of a member: what it says, or why it says nothing."""
        with self.lock:
            if isinstance(answer, Vote):
                member.vote, member.voted_at, member.error = answer, asked_at, None
                self.learn()
            else:
                member.error = answer
            self.count(time.monotonic() - FRESH_SECONDS)
            member.asked_at = asked_at

    def learn(self) -> None:
        """Ask the sentinels that a URL or another sentinel names, and no others."""
        votes = [member.vote for member in self.members.values() if member.vote is not None]
        named = {*self.settings.addresses, *(address for vote in votes for address in vote.others)}
        if named != self.members.keys():
            self.members = {address: self.members.get(address) or Member(self, address) for address in named}
            for member in self.members.values():
                member.start()

    def count(self, since: float) -> None:
        """Settle the verdict, if a majority has voted since that moment."""
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
        """In a forked child, where no thread of these is: give up the copies of its parent's sockets."""
        self.ended.set()
        for member in self.members.values():
            member.hang_up()


def decision(votes: Sequence[Vote], majority: int) -> tuple[Address | None, str]:
    """The primary, or why there is none."""
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
    """One sentinel."""

    def __init__(self, group: Sentinels, address: Address) -> None:
        self.group = group
        self.address = address
        self.link: RedisConnection | None = None
        self.vote: Vote | None = None
        self.voted_at = -math.inf
        self.error: Exception | None = None
        self.asked_at = -math.inf
        """When it was asked the question that it answered last, or failed to."""
        # The slot is its thread's for as long as that runs, so that no second one begins.
        self.running: SlotPool[None] = SlotPool(1)

    def start(self) -> None:
        """Ask from now on, unless somebody does already."""
        slot = self.running.take_free()
        if slot is None:
            return
        thread = threading.Thread(target=self.run, args=(slot,), name="module-sdk-redis-sentinel", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if thread.ident is None:  # it has not begun: the system has no more threads
                self.running.give(slot)
            raise

    def run(self, slot: Slot[None]) -> None:
        group = self.group
        try:
            while self.is_wanted():
                asked_at = time.monotonic()
                try:
                    if self.link is None:
                        self.link = connect(group.settings.links, self.address, asked_at + CONNECT_SECONDS)
                        asked_at = time.monotonic()
                    answer: Vote | Exception = self.ask(self.link, asked_at + ASK_SECONDS)
                except Exception as error:  # the caller who needs a majority raises it
                    self.hang_up()
                    answer = error
                group.hear(self, answer, asked_at)
                group.ended.wait(POLL_SECONDS)
        finally:
            self.hang_up()
            self.running.give(slot)

    def is_wanted(self) -> bool:
        group = self.group
        is_used = time.monotonic() - group.used_at < IDLE_SECONDS
        return is_used and not group.ended.is_set and group.members.get(self.address) is self

    def ask(self, link: RedisConnection, deadline: float) -> Vote:
        service = self.group.settings.service
        replies = link.exchange(
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

    def hang_up(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            with contextlib.suppress(Exception):
                link.close()


def vote_of(own_id: str, master: Mapping[str, str], primary: Any, others: Sequence[Mapping[str, str]]) -> Vote:
    if primary is None:
        raise ResponseError("No such master with that name")
    address = (primary[0].decode(), int(primary[1]))
    flags = set(master["flags"].split(","))
    # Once the replica is promoted, the leader names it, while the fields are still those of the old primary.
    is_old = address == (master["ip"], int(master["port"]))
    return Vote(
        sentinel=own_id,
        primary=address,
        epoch=int(master["config-epoch"]),
        is_down=is_old and not flags.isdisjoint(("s_down", "o_down")),
        is_promoting=is_old and master.get("failover-state") in PROMOTING,
        others=frozenset((other["ip"], int(other["port"])) for other in others),
        size=int(master["num-other-sentinels"]) + 1,
    )


def fields_of(reply: Sequence[bytes]) -> dict[str, str]:
    texts = [part.decode(errors="replace") for part in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))
