"""Checks that run in a forked child of the test."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable


def in_a_child(check: Callable[[], object]) -> None:
    """Fork, run it in the child, and fail with what it raised there."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn of a fork beside threads, which is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            check()
            said = b"fine"
        except BaseException:  # told to the parent
            said = traceback.format_exc().encode()
        os.write(writing, said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said.decode() == "fine"
