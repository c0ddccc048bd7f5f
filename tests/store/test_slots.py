"""Pools of slots: bounded and fair, and no slot is ever lost."""

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


def test_no_slot_is_lost_and_none_is_used_twice_at_a_time() -> None:
    # given three slots, and sixteen threads that each take and return one 400 times
    slots: SlotPool[None] = SlotPool(3)
    in_use: set[int] = set()
    most_in_use = 0
    lock = threading.Lock()
    refused: list[int] = []

    def work(number: int) -> None:
        nonlocal most_in_use
        for _ in range(400):
            slot = slots.take(time.monotonic() + 60)
            if slot is None:
                refused.append(number)
                return
            with lock:
                in_use.add(number)
                most_in_use = max(most_in_use, len(in_use))
            time.sleep(0)
            with lock:
                in_use.discard(number)
            slots.put_back(slot)

    # when all threads have ended
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then every wait succeeded, at most three threads had a slot at a time, and all slots are free
    assert refused == []
    assert most_in_use <= 3
    assert slots.free == 3
    assert not slots.line
    assert not slots.kept


def test_waiting_threads_get_slots_in_the_order_of_their_calls() -> None:
    # given one slot that is taken, and three threads that wait for it, one after another
    slots: SlotPool[None] = SlotPool(1)
    taken = slots.take(time.monotonic())
    assert taken is not None
    served: list[int] = []

    def ask(number: int) -> None:
        slot = slots.take(time.monotonic() + SOON)
        assert slot is not None
        served.append(number)
        slots.put_back(slot)

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        wait_until(lambda number=number: len(slots.line) == number + 1)  # type: ignore[misc]

    # when it is returned, then the threads get it in that order
    slots.put_back(taken)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2]


@pytest.mark.parametrize("seconds", [-1, 0.001, 0.01])
def test_a_thread_that_times_out_leaves_the_line(seconds: float) -> None:
    slots: SlotPool[None] = SlotPool(1)
    slot = slots.take(time.monotonic())
    assert slot is not None
    assert slots.take(time.monotonic() + seconds) is None
    assert not slots.line
    assert not slots.kept
    slots.put_back(slot)
    assert slots.take(time.monotonic()) is slot


def test_a_waiting_thread_is_passed_only_for_a_moment() -> None:
    # given one slot, and a thread that takes and returns it in a loop
    slots: SlotPool[None] = SlotPool(1)
    rounds = 0
    has_ended = threading.Event()

    def take_repeatedly() -> None:
        nonlocal rounds
        while not has_ended.is_set():
            slot = slots.take(time.monotonic() + SOON)
            assert slot is not None
            rounds += 1
            slots.put_back(slot)

    thread = threading.Thread(target=take_repeatedly, daemon=True)
    thread.start()
    wait_until(lambda: rounds > 100)

    # when another thread waits, then it gets the slot, although the first thread returns it only for a moment
    slot = slots.take(time.monotonic() + SOON)
    assert slot is not None
    has_ended.set()
    slots.put_back(slot)
    thread.join()
    assert slots.free == 1
    assert not slots.line
    assert not slots.kept


def test_a_slot_that_is_destroyed_in_use_is_replaced_and_keeps_its_item() -> None:
    # given two slots, one of which has an item
    slots: SlotPool[str] = SlotPool(2)
    first, second = slots.take(0), slots.take(0)
    assert first is not None
    assert second is not None
    first.keep("connection")

    # when its slot is lost
    del first
    assert slots.free == 1

    # then the next call gets a slot with the same item, marked as being in an unknown state
    found = slots.take(0)
    assert found is not None
    assert (found.item, found.is_settled) == ("connection", False)
    assert slots.take(0) is None
    assert slots.free == 0


def test_a_waiting_thread_gets_the_replacement_of_a_destroyed_slot() -> None:
    slots: SlotPool[None] = SlotPool(1)
    lost = [slots.take(0)]
    threading.Timer(0.05, lost.clear).start()
    assert slots.take(time.monotonic() + SOON) is not None


def test_a_slot_that_two_threads_have_both_replaced_is_removed() -> None:
    # given a second slot in a pool of one, as left by two threads that checked the number at the same time
    slots: SlotPool[None] = SlotPool(1)
    slots.number = 2
    slots.add(None)
    slots.number = 1
    # when the next thread searches for lost slots
    slots.replace_lost()
    # then there is one slot
    taken = slots.take_free()
    assert taken is not None
    assert slots.take_free() is None


def test_an_interrupted_search_for_lost_slots_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a slot that was lost, and a search for it that was interrupted
    slots: SlotPool[None] = SlotPool(1)
    slot = slots.take_free()
    del slot
    monkeypatch.setattr(SlotPool, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slots.take_free()
    monkeypatch.undo()
    # then the next search finds it
    assert slots.take_free() is not None


def interrupted(slots: SlotPool[None], item: None) -> None:
    raise KeyboardInterrupt
