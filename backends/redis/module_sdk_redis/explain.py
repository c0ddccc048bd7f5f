"""Explanations of lookups: the commands that a lookup runs, and the number of entries and records that they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from module_sdk_redis.index_reads import Reader
from module_sdk_redis.routing import Router
from module_sdk_redis.schema import Layout


class CountingReader(Reader):
    """A reader that notes each read, and how many entries and records it touched."""

    def __init__(self, router: Router, layout: Layout) -> None:
        super().__init__(router, layout)
        self.plan: list[str] = []
        self.examined = 0

    def scan_index(self, index: str, upper: str | bytes, lower: str, count: int, deadline: float) -> Sequence[Any]:
        reply = super().scan_index(index, upper, lower, count, deadline)
        entries = max(0, len(reply) - 1)
        self.note(
            f"scan_index {index} REV from {upper!r} to {lower!r}: {entries} entries, {entries} records", 2 * entries
        )
        return reply

    def members(
        self, index: str, upper: str | bytes, lower: str | bytes, count: int, deadline: float
    ) -> Sequence[bytes]:
        members = super().members(index, upper, lower, count, deadline)
        self.note(f"ZRANGE {index} {upper!r} {lower!r} BYLEX REV: {len(members)} entries", len(members))
        return members

    def records(self, ids: Sequence[str], organization: str | None, deadline: float) -> Sequence[bytes | None]:
        self.note(f"MGET: {len(ids)} records", len(ids))
        return super().records(ids, organization, deadline)

    def note(self, step: str, examined: int) -> None:
        self.plan.append(step)
        self.examined += examined
