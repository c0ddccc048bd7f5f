"""Times: integer microseconds since 1970 UTC inside, fixed-width ISO 8601 text outside (clauses ROW-02, ORDER-07)."""

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
# A few years of days; beyond it the table is emptied, so a hostile spread of dates costs time but no memory.
MAXIMUM_DAYS = 4_096

# How far the times of a write may be from the clock of the store's server (ORDER-12). Hosts agree to a second.
CLOCK_TOLERANCE: Final = 2_000_000
# Where only the writer's clock is there to compare with, an earlier task of the same key counts up to here ahead of it
# (ORDER-10): more than a clock that was set back by a wrong time zone, and less than the day of a clock that is wrong.
HORIZON: Final = DAY_MICROSECONDS // 2

# Longer than any process lives; float() overflows on large integers.
LONGEST_WAIT_SECONDS = 1e12

# Looked up instead of formatted, which takes half as long again.
MILLISECONDS: Final = [f"{number:03d}" for number in range(1_000)]
MICROSECONDS: Final = [f"{number:03d}+00:00" for number in range(1_000)]


class Days(dict[int, str]):
    """The text of each day since 1970, made when it is first asked for."""

    def __missing__(self, day: int) -> str:
        text = f"{(EPOCH + datetime.timedelta(days=day)).date().isoformat()}T"
        if len(self) >= MAXIMUM_DAYS:
            self.clear()
        self[day] = text
        return text


class Seconds(dict[int, str]):
    """The text of each second of a day, made when it is first asked for."""

    def __missing__(self, second: int) -> str:
        text = self[second] = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}."
        return text


days = Days()
seconds = Seconds()


class ProcessClock:
    """The host's clock in microseconds since 1970 UTC; in one process each reading is later than the one before.

    Where the host's clock is set back, it waits, moving on by one microsecond a reading, until that has caught up.
    """

    def __init__(self) -> None:
        # Reentrant, since a signal's handler may create a task while its own thread reads the clock.
        self.lock = threading.RLock()
        self.last = FIRST

    def __call__(self) -> int:
        with self.lock:
            self.last = now = max(time.time_ns() // 1_000, self.last + 1)
            return now

    def renew_lock(self) -> None:
        """In a forked child: a thread that is not here may hold the lock."""
        self.lock = threading.RLock()


system_clock: Final = ProcessClock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=system_clock.renew_lock)


def format_time(microseconds: int) -> str:
    """`1993-10-01T07:00:03.000000+00:00`: always 32 characters, so that text sorts as time does.

    Raises `TypeError`, `ValueError` or `OverflowError` for what is not a time, as found in a corrupt record.
    """
    day, rest = divmod(microseconds, DAY_MICROSECONDS)
    second, fraction = divmod(rest, 1_000_000)
    return f"{days[day]}{seconds[second]}{MILLISECONDS[fraction // 1_000]}{MICROSECONDS[fraction % 1_000]}"


def parse_time(value: object, field: str) -> int:
    """Microseconds of an ISO 8601 text or an aware `datetime`; `InvalidInputError` for anything else."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInputError(f"{field} must be an ISO 8601 time", field=field) from None
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        raise InvalidInputError(f"{field} must be an ISO 8601 text or a datetime with a time zone", field=field)
    return (value - EPOCH) // MICROSECOND


def check_timeout(seconds: object) -> float:
    """A number of seconds to wait, an infinite one included; `InvalidInputError` for anything else."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InvalidInputError("timeout_seconds must be a number that is not negative", field="timeout_seconds")
    return float(min(seconds, LONGEST_WAIT_SECONDS))


def check_time(microseconds: object, field: str) -> int:
    """The value itself, if it is an integer that lies in the years 1 to 9999."""
    if type(microseconds) is not int:
        raise InvalidInputError(f"{field} must be an integer of microseconds since 1970 UTC", field=field)
    if not FIRST <= microseconds <= LAST:
        raise InvalidInputError(f"{field} must lie in the years 1 to 9999", field=field, maximum=LAST)
    return microseconds
