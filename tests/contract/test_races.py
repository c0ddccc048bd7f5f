"""The races of the contract repeat until enough calls have overlapped, and report when too few have."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from module_sdk_contract.processes import races
from module_sdk_contract.processes.races import NotEnoughOverlaps, Rounds, have_met, while_writing

from tests.support.contract_runs import run_suite


def test_calls_have_met_if_a_second_began_before_the_first_ended() -> None:
    assert have_met([(1.0, 3.0), (2.0, 4.0)])
    assert have_met([(5.0, 6.0), (1.0, 3.0), (2.9, 3.5)])
    assert not have_met([(1.0, 2.0), (2.5, 3.0), (2.6, 3.0)])


def meet(barrier: threading.Barrier) -> None:
    barrier.wait(10)


def test_a_race_repeats_until_enough_rounds_have_overlapped() -> None:
    rounds = Rounds(3)

    ran = []
    for number in rounds:
        ran.append(number)
        if number % 2:
            rounds.race([functools.partial(meet, threading.Barrier(2))] * 2)
        else:
            rounds.race([time.time])

    assert ran == [0, 1, 2, 3, 4, 5]


def test_a_race_with_too_few_overlaps_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(races, "PATIENCE_SECONDS", 0.2)
    rounds = Rounds(3)

    def run() -> None:
        for _ in rounds:
            rounds.race([time.time])

    with pytest.raises(NotEnoughOverlaps, match=r"not enough overlaps: racing calls met 0 times of 3"):
        run()


def test_writing_ends_when_every_reader_has_met_enough_writes() -> None:
    reads = [0, 0]

    def write(number: int) -> None:
        time.sleep(0.001)

    def read(index: int) -> None:
        reads[index] += 1
        time.sleep(0.01)

    while_writing(write, [functools.partial(read, index) for index in range(2)], overlaps=5)

    assert min(reads) >= 5


def test_while_writing_raises_the_error_of_a_reader() -> None:
    def fail() -> None:
        raise LookupError("the reader's")

    def wait(number: int) -> None:
        time.sleep(0.001)

    calls: list[Callable[[], None]] = [fail, time.tzset]
    with pytest.raises(LookupError, match="the reader's"):
        while_writing(wait, calls, overlaps=1_000_000)


def test_the_report_says_that_too_few_calls_have_overlapped(tmp_path: Path) -> None:
    body = """
    @pytest.fixture(autouse=True)
    def hasty(self, monkeypatch):
        monkeypatch.setattr("module_sdk_contract.processes.races.PATIENCE_SECONDS", -1.0)
"""
    _, output, report = run_suite(tmp_path, "test_of_many_threads_one_creates", body=body)

    assert "not enough overlaps: racing calls met 0 times of 20" in output
    assert report["level"] == "PARTIAL"
