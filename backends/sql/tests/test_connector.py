"""Who waits for a connection, how long, and what becomes of attempts that hang."""

from __future__ import annotations

import threading
import time
from typing import Any, Final, cast

import pytest
from module_sdk_sql.dialects.base import Connection

from module_sdk.backends import TaskBackendUnavailableError
from module_sdk.store.connector import MAXIMUM_OVERDUE, Attempt, Connector

SOON: Final = 0.1
LATE: Final = 30.0


class FakeLink:
    def __init__(self) -> None:
        self.is_closed = False

    def is_current(self) -> bool:
        return not self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Network:
    """Lets attempts to connect hang until they are let go, and then succeed or fail."""

    def __init__(self) -> None:
        self.hangs = True
        self.let_go = threading.Event()
        self.error: Exception | None = None
        self.links: list[FakeLink] = []
        self.attempts = 0

    def connect(self, deadline: float) -> Connection:
        self.attempts += 1
        error = self.error
        if self.hangs:
            self.let_go.wait(LATE)
        if error is not None:
            raise error
        self.links.append(FakeLink())
        return cast("Connection", self.links[-1])


@pytest.fixture
def network() -> Any:
    made = Network()
    yield made
    made.let_go.set()


def within(connector: Connector[Connection], seconds: float) -> Connection:
    return connector.connect(time.monotonic() + seconds)


def test_a_caller_leaves_in_time_and_the_next_one_tries_anew(network: Network) -> None:
    # given an attempt that hangs in a network which swallows everything
    connector = Connector(network.connect)
    with pytest.raises(TaskBackendUnavailableError, match="in time"):
        within(connector, SOON)
    # when the network is back, though not for that attempt
    network.hangs = False
    # then the next caller does not wait for it
    assert within(connector, LATE).is_current()
    assert network.attempts == 2


def test_a_failure_of_an_attempt_for_another_is_not_ones_own(network: Network) -> None:
    # given an attempt that was begun while the server refused, and whose caller has left
    connector = Connector(network.connect)
    network.error = ConnectionRefusedError("refused")
    connector.attempt = Attempt(time.monotonic() + LATE)
    connector.attempt.begin(network.connect)
    # when the server is back and that attempt fails under the eyes of the next caller
    network.hangs, network.error = False, None
    healing = threading.Timer(SOON, network.let_go.set)
    healing.start()
    # then that one tries again, and has a connection
    assert within(connector, LATE).is_current()
    assert network.attempts == 2
    healing.join()


def test_a_late_failure_has_the_drivers_error_as_its_cause(network: Network) -> None:
    # given an attempt whose caller has left, and which the driver gives up after that
    connector = Connector(network.connect)
    network.error = ConnectionResetError("reset")
    with pytest.raises(TaskBackendUnavailableError):
        within(connector, SOON)
    threading.Timer(2 * SOON, network.let_go.set).start()
    first = connector.attempt
    assert first is not None
    # when the next caller, whose attempt hangs too, is late
    later = Network()
    connector.connect_now = later.connect
    with pytest.raises(TaskBackendUnavailableError) as raised:
        within(connector, 10 * SOON)
    # then what the driver said is told
    assert raised.value.__cause__ is first.error is network.error
    later.let_go.set()


def test_ones_own_failure_is_raised(network: Network) -> None:
    network.hangs, network.error = False, ConnectionRefusedError("refused")
    with pytest.raises(ConnectionRefusedError):
        within(Connector(network.connect), LATE)
    assert network.attempts == 1


def test_hanging_attempts_do_not_pile_up(network: Network) -> None:
    # given a network in which everything hangs
    connector = Connector(network.connect)
    # when many callers come and leave
    for _ in range(MAXIMUM_OVERDUE + 5):
        with pytest.raises(TaskBackendUnavailableError):
            within(connector, 0.02)
    # then only so many threads hang
    assert network.attempts == MAXIMUM_OVERDUE + 1
    # and when they are let go, the next caller has a connection
    network.let_go.set()
    assert within(connector, LATE).is_current()
