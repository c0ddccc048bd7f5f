"""What happens when a lookup fails: logged once a burst, counted, passed to observers (clause FAIL-11)."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Final

from module_sdk.observers import observers
from module_sdk.reports import error_text, report

BURST_SECONDS: Final = 60.0


class LookupFailures:
    """Failures of this process, by lookup."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.bursts: dict[tuple[str, type[Exception]], tuple[float, int]] = {}

    def record(self, operation: str, error: Exception) -> None:
        with self.lock:
            self.counts[operation] += 1
            silenced = self.begin_burst((operation, type(error)))
        if silenced is not None:
            also = f" ({silenced} more since the last report)" if silenced else ""
            report(logging.WARNING, "%s failed, the caller got an empty list: %s%s", operation, error_text(error), also)
        observers.notify("module_sdk_lookup_failed", operation=operation, error=error)

    def begin_burst(self, burst: tuple[str, type[Exception]]) -> int | None:
        """How many failures went unlogged, if this one is to be logged; `None` inside a burst."""
        now = time.monotonic()
        began, silenced = self.bursts.get(burst, (-BURST_SECONDS, 0))
        if now - began < BURST_SECONDS:
            self.bursts[burst] = (began, silenced + 1)
            return None
        self.bursts[burst] = (now, 0)
        return silenced

    def forget(self) -> None:
        with self.lock:
            self.counts.clear()
            self.bursts.clear()


failures: Final = LookupFailures()


def lookup_failures() -> dict[str, int]:
    """How many lookups of this process have failed since the start or `reset()`, by the lookup's name."""
    with failures.lock:
        return dict(failures.counts)
