"""The counters of connections: bounded, nobody starves, and no place is ever lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from module_sdk.backends import Places
from module_sdk.places import FairPlaces

SOON = 5.0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def asking(places: FairPlaces) -> int:
    """How many wait for a place."""
    if not isinstance(places, Places):
        return len(places.waiting)
    return len(places.line.waiting) + (places.line.free == 0)


@pytest.mark.parametrize("kind", [FairPlaces, Places])
def test_no_place_is_lost_and_none_is_given_twice(kind: type[FairPlaces]) -> None:
    # given three places and sixteen threads that take and give without end
    places = kind(3)
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
    assert asking(places) == 0


@pytest.mark.parametrize("kind", [FairPlaces, Places])
def test_places_go_to_those_who_asked_first(kind: type[FairPlaces]) -> None:
    # given one place that is taken, and three who ask one after another
    places = kind(1)
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
        wait_until(lambda number=number: asking(places) == number + 1)  # type: ignore[misc]

    # when it is given back, then they are served in their order
    places.give()
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2]


@pytest.mark.parametrize("seconds", [-1, 0.001, 0.01])
@pytest.mark.parametrize("kind", [FairPlaces, Places])
def test_who_gives_up_leaves_the_line(kind: type[FairPlaces], seconds: float) -> None:
    places = kind(1)
    assert places.take(time.monotonic())
    assert not places.take(time.monotonic() + seconds)
    assert asking(places) == 0
    places.give()
    assert places.take(time.monotonic())


def test_who_waits_lets_others_pass_for_a_moment_only() -> None:
    # given one place, and a thread that gives it back and takes it again without end
    places = Places(1)
    assert places.take(time.monotonic())
    rounds = 0
    has_ended = threading.Event()

    def hold_on() -> None:
        nonlocal rounds
        while not has_ended.is_set():
            places.give()
            assert places.take(time.monotonic() + SOON)
            rounds += 1
        places.give()

    holder = threading.Thread(target=hold_on, daemon=True)
    holder.start()
    wait_until(lambda: rounds > 100)

    # when another asks, then it gets the place, though the first never lets go of it for longer than a moment
    assert places.take(time.monotonic() + SOON)
    has_ended.set()
    places.give()
    holder.join()
    assert places.free == 1
    assert asking(places) == 0
