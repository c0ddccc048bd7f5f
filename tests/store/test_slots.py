"""The counters of connections: bounded, nobody starves, and no place is ever lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from module_sdk.backends import Places

SOON = 5.0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_no_place_is_lost_and_none_is_given_twice() -> None:
    # given three places and sixteen threads that take and give without end
    places: Places[None] = Places(3)
    held: set[int] = set()
    most_held = 0
    lock = threading.Lock()
    refused: list[int] = []

    def work(number: int) -> None:
        nonlocal most_held
        for _ in range(400):
            place = places.take(time.monotonic() + 60)
            if place is None:
                refused.append(number)
                return
            with lock:
                held.add(number)
                most_held = max(most_held, len(held))
            time.sleep(0)
            with lock:
                held.discard(number)
            places.give(place)

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
    assert not places.line
    assert not places.kept


def test_places_go_to_those_who_asked_first() -> None:
    # given one place that is taken, and three who ask one after another
    places: Places[None] = Places(1)
    taken = places.take(time.monotonic())
    assert taken is not None
    served: list[int] = []

    def ask(number: int) -> None:
        place = places.take(time.monotonic() + SOON)
        assert place is not None
        served.append(number)
        places.give(place)

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        wait_until(lambda number=number: len(places.line) == number + 1)  # type: ignore[misc]

    # when it is given back, then they are served in their order
    places.give(taken)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2]


@pytest.mark.parametrize("seconds", [-1, 0.001, 0.01])
def test_who_gives_up_leaves_the_line(seconds: float) -> None:
    places: Places[None] = Places(1)
    place = places.take(time.monotonic())
    assert place is not None
    assert places.take(time.monotonic() + seconds) is None
    assert not places.line
    assert not places.kept
    places.give(place)
    assert places.take(time.monotonic()) is place


def test_who_waits_lets_others_pass_for_a_moment_only() -> None:
    # given one place, and a thread that gives it back and takes it again without end
    places: Places[None] = Places(1)
    rounds = 0
    has_ended = threading.Event()

    def hold_on() -> None:
        nonlocal rounds
        while not has_ended.is_set():
            place = places.take(time.monotonic() + SOON)
            assert place is not None
            rounds += 1
            places.give(place)

    holder = threading.Thread(target=hold_on, daemon=True)
    holder.start()
    wait_until(lambda: rounds > 100)

    # when another asks, then it gets the place, though the first never lets go of it for longer than a moment
    place = places.take(time.monotonic() + SOON)
    assert place is not None
    has_ended.set()
    places.give(place)
    holder.join()
    assert places.free == 1
    assert not places.line
    assert not places.kept


def test_a_place_that_dies_in_use_is_found_again_with_what_belongs_to_it() -> None:
    # given two places, one of which has something
    places: Places[str] = Places(2)
    first, second = places.take(0), places.take(0)
    assert first is not None
    assert second is not None
    first.keep("connection")

    # when the call that has it loses it
    del first
    assert places.free == 1

    # then the next call gets a place with the same thing, of which it knows that it is in an unknown state
    found = places.take(0)
    assert found is not None
    assert (found.link, found.is_settled) == ("connection", False)
    assert places.take(0) is None
    assert places.free == 0


def test_a_thread_that_waits_finds_a_place_that_dies() -> None:
    places: Places[None] = Places(1)
    lost = [places.take(0)]
    threading.Timer(0.05, lost.clear).start()
    assert places.take(time.monotonic() + SOON) is not None


def test_a_place_that_two_threads_have_found_is_one_too_many() -> None:
    # given two threads that have looked at the number of places at the same moment
    places: Places[None] = Places(1)
    places.number = 2
    places.add(None)
    places.number = 1
    # when the next one searches
    places.find_lost()
    # then there is one place
    taken = places.take_free()
    assert taken is not None
    assert places.take_free() is None


def test_a_search_that_was_interrupted_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a place that was lost, and a search for it that was interrupted
    places: Places[None] = Places(1)
    place = places.take_free()
    del place
    monkeypatch.setattr(Places, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        places.take_free()
    monkeypatch.undo()
    # then the next one finds it
    assert places.take_free() is not None


def interrupted(places: Places[None], link: None) -> None:
    raise KeyboardInterrupt
