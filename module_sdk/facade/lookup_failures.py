"""The reports of failed lookups: each is counted and passed to observers, and logged once per burst (FAIL-11)."""

from __future__ import annotations

import logging
import time
from typing import Final

from module_sdk.domain.reports import error_text, report
from module_sdk.plugins.observers import observers

BURST_SECONDS: Final = 60.0


class LookupFailures:
    """The failed lookups of this process, counted per lookup.

    It uses no lock, because a signal handler that interrupts a failing lookup may make another one that fails too.
    `counts[name] += 1` on a plain `dict` is atomic: Python switches threads and runs handlers only at calls and at the
    end of a loop's body.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.bursts: dict[tuple[str, type[Exception]], tuple[float, int]] = {}

    def record(self, operation: str, error: Exception) -> None:
        counts = self.counts
        counts.setdefault(operation, 0)
        counts[operation] += 1
        silenced = self.begin_burst((operation, type(error)))
        if silenced is not None:
            also = f" ({silenced} more since the last report)" if silenced else ""
            report(logging.WARNING, "%s failed, the caller got an empty list: %s%s", operation, error_text(error), also)
        observers.notify("module_sdk_lookup_failed", operation=operation, error=error)

    def begin_burst(self, burst: tuple[str, type[Exception]]) -> int | None:
        """Return `None` within a burst. Otherwise begin one and return how many failures the last one left unlogged."""
        now = time.monotonic()
        began, silenced = self.bursts.get(burst, (-BURST_SECONDS, 0))
        if now - began < BURST_SECONDS:
            self.bursts[burst] = (began, silenced + 1)
            return None
        self.bursts[burst] = (now, 0)
        return silenced

    def forget(self) -> None:
        self.counts = {}
        self.bursts = {}


failures: Final = LookupFailures()


def lookup_failures() -> dict[str, int]:
    """Return how many lookups of this process have failed since its start or the last `reset()`, per lookup name."""
    return dict(failures.counts)
