"""Times: integer microseconds since 1970 UTC inside, ISO 8601 text of fixed width for callers (ROW-02, ORDER-07)."""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from module_sdk.errors import InvalidInputError

Clock = Callable[[], int]
"""Returns the time now in integer microseconds since 1970 UTC."""

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
FIRST = (datetime.datetime(1, 1, 1, tzinfo=datetime.UTC) - EPOCH) // MICROSECOND
LAST = (datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=datetime.UTC) - EPOCH) // MICROSECOND

DAY_MICROSECONDS = 86_400_000_000
# Eleven years of days. A larger table is emptied, so that a hostile spread of dates takes time but no memory.
MAXIMUM_DAYS = 4_096

# The largest difference between the times of a write and the clock of the store's server (ORDER-12). The clocks of
# hosts normally agree to a second.
CLOCK_TOLERANCE: Final = 2_000_000
# Where no server clock is used, an earlier task of the same key counts if it is at most this far ahead of the writer's
# clock (ORDER-10). A clock set back by a wrong time zone is within it; a clock that is a whole day off is not.
HORIZON: Final = DAY_MICROSECONDS // 2

# Longer than any process lives; float() overflows on large integers.
LONGEST_WAIT_SECONDS = 1e12

# Precomputed: formatting takes half as long again.
MILLISECONDS: Final = [f"{number:03d}" for number in range(1_000)]
MICROSECONDS: Final = [f"{number:03d}+00:00" for number in range(1_000)]


class Days(dict[int, str]):
    """The texts of days since 1970, made when they are first read."""

    def __missing__(self, day: int) -> str:
        text = f"{(EPOCH + datetime.timedelta(days=day)).date().isoformat()}T"
        if len(self) >= MAXIMUM_DAYS:
            self.clear()
        self[day] = text
        return text


class Seconds(dict[int, str]):
    """The texts of the seconds of a day, made when they are first read."""

    def __missing__(self, second: int) -> str:
        text = self[second] = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}."
        return text


days = Days()
seconds = Seconds()


class ProcessClock:
    """The host's clock in microseconds since 1970 UTC, except that each reading in a process is later than the last.

    After the host's clock is set back, each reading is one microsecond later, until the host's clock has caught up.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may create a task while it interrupts a reading in the same thread.
        self.lock = threading.RLock()
        self.last = FIRST

    def __call__(self) -> int:
        with self.lock:
            self.last = now = max(time.time_ns() // 1_000, self.last + 1)
            return now

    def renew_lock(self) -> None:
        """Replace the lock in a forked child: a thread that does not exist there may have locked it."""
        self.lock = threading.RLock()


system_clock: Final = ProcessClock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=system_clock.renew_lock)


def format_time(microseconds: int) -> str:
    """Return `1993-10-01T07:00:03.000000+00:00`: always 32 characters, so that texts sort as times do.

    Raises `TypeError`, `ValueError` or `OverflowError` for a value that is not a time, as in a corrupt record.
    """
    day, rest = divmod(microseconds, DAY_MICROSECONDS)
    second, fraction = divmod(rest, 1_000_000)
    return f"{days[day]}{seconds[second]}{MILLISECONDS[fraction // 1_000]}{MICROSECONDS[fraction % 1_000]}"


def parse_time(value: object, field: str) -> int:
    """Return the microseconds of an ISO 8601 text or an aware `datetime`. Raise `InvalidInputError` for others."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInputError(f"{field} must be an ISO 8601 time", field=field) from None
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        raise InvalidInputError(f"{field} must be an ISO 8601 text or a datetime with a time zone", field=field)
    return (value - EPOCH) // MICROSECOND


def check_timeout(seconds: object) -> float:
    """Return a number of seconds to wait, which may be infinite. Raise `InvalidInputError` for anything else."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InvalidInputError("timeout_seconds must be a number that is not negative", field="timeout_seconds")
    return float(min(seconds, LONGEST_WAIT_SECONDS))


def check_time(microseconds: object, field: str) -> int:
    """Return the value if it is an integer in the years 1 to 9999. Raise `InvalidInputError` otherwise."""
    if type(microseconds) is not int:
        raise InvalidInputError(f"{field} must be an integer of microseconds since 1970 UTC", field=field)
    if not FIRST <= microseconds <= LAST:
        raise InvalidInputError(f"{field} must be in the years 1 to 9999", field=field, maximum=LAST)
    return microseconds
