"""Checks that run in a forked child of the test."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable


def in_a_child(check: Callable[[], object]) -> None:
    """Run the check in a forked child, and fail with the traceback of an exception that it raises there."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn about a fork of a process with threads, which is what the tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            check()
            outcome = b"passed"
        except BaseException:  # the parent reports it
            outcome = traceback.format_exc().encode()
        os.write(writing, outcome)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        outcome = pipe.read()
    os.waitpid(child, 0)
    assert outcome.decode() == "passed"
