"""The counter of connections: bounded, fair, and no place is ever lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from module_sdk.backends import Places

SOON = 5.0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_no_place_is_lost_and_none_is_given_twice() -> None:
    # given three places and sixteen threads that take and give without end
    places = Places(3)
    held: set[int] = set()
    most_held = 0
    lock = threading.Lock()
    refused: list[int] = []

    def work(number: int) -> None:
        nonlocal most_held
        for _ in range(400):
            if not places.take(time.monotonic() + 60):
                refused.append(number)
                return
            with lock:
                held.add(number)
                most_held = max(most_held, len(held))
            time.sleep(0)
            with lock:
                held.discard(number)
            places.give()

    # when all of them have come to an end
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then nobody waited in vain, never more than three had a place, and all places are free
    assert refused == []
    assert most_held <= 3
    assert places.free == 3
    assert not places.waiting


def test_places_go_to_those_who_asked_first() -> None:
    # given one place that is taken, and three who ask one after another
    places = Places(1)
    assert places.take(time.monotonic())
    served: list[int] = []

    def ask(number: int) -> None:
        assert places.take(time.monotonic() + SOON)
        served.append(number)
        places.give()

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        wait_until(lambda number=number: len(places.waiting) == number + 1)  # type: ignore[misc]

    # when it is given back, then they are served in their order
    places.give()
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2]


def test_who_gives_up_leaves_the_line() -> None:
    places = Places(1)
    assert places.take(time.monotonic())
    assert not places.take(time.monotonic() - 1)
    assert not places.waiting
    places.give()
    assert places.take(time.monotonic())
