"""The counters of connections: bounded, nobody starves, and no slot is ever lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from module_sdk.backends import SlotPool

SOON = 5.0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_no_place_is_lost_and_none_is_given_twice() -> None:
    # given three slots and sixteen threads that take and give without end
    slots: SlotPool[None] = SlotPool(3)
    held: set[int] = set()
    most_held = 0
    lock = threading.Lock()
    refused: list[int] = []

    def work(number: int) -> None:
        nonlocal most_held
        for _ in range(400):
            slot = slots.take(time.monotonic() + 60)
            if slot is None:
                refused.append(number)
                return
            with lock:
                held.add(number)
                most_held = max(most_held, len(held))
            time.sleep(0)
            with lock:
                held.discard(number)
            slots.give(slot)

    # when all of them have come to an end
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then nobody waited in vain, never more than three had a slot, and all slots are free
    assert refused == []
    assert most_held <= 3
    assert slots.free == 3
    assert not slots.line
    assert not slots.kept


def test_places_go_to_those_who_asked_first() -> None:
    # given one slot that is taken, and three who ask one after another
    slots: SlotPool[None] = SlotPool(1)
    taken = slots.take(time.monotonic())
    assert taken is not None
    served: list[int] = []

    def ask(number: int) -> None:
        slot = slots.take(time.monotonic() + SOON)
        assert slot is not None
        served.append(number)
        slots.give(slot)

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        wait_until(lambda number=number: len(slots.line) == number + 1)  # type: ignore[misc]

    # when it is given back, then they are served in their order
    slots.give(taken)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2]


@pytest.mark.parametrize("seconds", [-1, 0.001, 0.01])
def test_who_gives_up_leaves_the_line(seconds: float) -> None:
    slots: SlotPool[None] = SlotPool(1)
    slot = slots.take(time.monotonic())
    assert slot is not None
    assert slots.take(time.monotonic() + seconds) is None
    assert not slots.line
    assert not slots.kept
    slots.give(slot)
    assert slots.take(time.monotonic()) is slot


def test_who_waits_lets_others_pass_for_a_moment_only() -> None:
    # given one slot, and a thread that gives it back and takes it again without end
    slots: SlotPool[None] = SlotPool(1)
    rounds = 0
    has_ended = threading.Event()

    def hold_on() -> None:
        nonlocal rounds
        while not has_ended.is_set():
            slot = slots.take(time.monotonic() + SOON)
            assert slot is not None
            rounds += 1
            slots.give(slot)

    holder = threading.Thread(target=hold_on, daemon=True)
    holder.start()
    wait_until(lambda: rounds > 100)

    # when another asks, then it gets the slot, though the first never lets go of it for longer than a moment
    slot = slots.take(time.monotonic() + SOON)
    assert slot is not None
    has_ended.set()
    slots.give(slot)
    holder.join()
    assert slots.free == 1
    assert not slots.line
    assert not slots.kept


def test_a_place_that_dies_in_use_is_found_again_with_what_belongs_to_it() -> None:
    # given two slots, one of which has something
    slots: SlotPool[str] = SlotPool(2)
    first, second = slots.take(0), slots.take(0)
    assert first is not None
    assert second is not None
    first.keep("connection")

    # when the call that has it loses it
    del first
    assert slots.free == 1

    # then the next call gets a slot with the same thing, of which it knows that it is in an unknown state
    found = slots.take(0)
    assert found is not None
    assert (found.item, found.is_settled) == ("connection", False)
    assert slots.take(0) is None
    assert slots.free == 0


def test_a_thread_that_waits_finds_a_place_that_dies() -> None:
    slots: SlotPool[None] = SlotPool(1)
    lost = [slots.take(0)]
    threading.Timer(0.05, lost.clear).start()
    assert slots.take(time.monotonic() + SOON) is not None


def test_a_place_that_two_threads_have_found_is_one_too_many() -> None:
    # given two threads that have looked at the number of slots at the same moment
    slots: SlotPool[None] = SlotPool(1)
    slots.number = 2
    slots.add(None)
    slots.number = 1
    # when the next one searches
    slots.find_lost()
    # then there is one slot
    taken = slots.take_free()
    assert taken is not None
    assert slots.take_free() is None


def test_a_search_that_was_interrupted_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a slot that was lost, and a search for it that was interrupted
    slots: SlotPool[None] = SlotPool(1)
    slot = slots.take_free()
    del slot
    monkeypatch.setattr(SlotPool, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slots.take_free()
    monkeypatch.undo()
    # then the next one finds it
    assert slots.take_free() is not None


def interrupted(slots: SlotPool[None], link: None) -> None:
    raise KeyboardInterrupt
