"""Callers share attempts to connect, wait no longer than their deadlines, and retry after an attempt that hung."""

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


class FakeConnection:
    def __init__(self) -> None:
        self.is_closed = False

    def is_current(self) -> bool:
        return not self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Network:
    """A network in which attempts to connect hang until they are released, and then succeed or fail."""

    def __init__(self) -> None:
        self.hangs = True
        self.released = threading.Event()
        self.error: Exception | None = None
        self.connections: list[FakeConnection] = []
        self.attempts = 0

    def connect(self, deadline: float) -> Connection:
        self.attempts += 1
        error = self.error
        if self.hangs:
            self.released.wait(LATE)
        if error is not None:
            raise error
        self.connections.append(FakeConnection())
        return cast("Connection", self.connections[-1])


@pytest.fixture
def network() -> Any:
    made = Network()
    yield made
    made.released.set()


def within(connector: Connector[Connection], seconds: float) -> Connection:
    return connector.connect(time.monotonic() + seconds)


def test_a_caller_leaves_at_its_deadline_and_the_next_one_retries(network: Network) -> None:
    # given an attempt that hangs in a network that drops everything
    connector = Connector(network.connect)
    with pytest.raises(TaskBackendUnavailableError, match="in time"):
        within(connector, SOON)
    # when the network is back, but that attempt still hangs
    network.hangs = False
    # then the next caller does not wait for it
    assert within(connector, LATE).is_current()
    assert network.attempts == 2


def test_the_failure_of_an_earlier_callers_attempt_is_retried(network: Network) -> None:
    # given an attempt that began while the server refused connections, and whose caller has left
    connector = Connector(network.connect)
    network.error = ConnectionRefusedError("refused")
    connector.attempt = Attempt(time.monotonic() + LATE)
    connector.attempt.begin(network.connect)
    # when the server is back, and that attempt fails while the next caller waits for it
    network.hangs, network.error = False, None
    healing = threading.Timer(SOON, network.released.set)
    healing.start()
    # then that caller retries, and has a connection
    assert within(connector, LATE).is_current()
    assert network.attempts == 2
    healing.join()


def test_a_late_failure_has_the_drivers_error_as_its_cause(network: Network) -> None:
    # given an attempt that the driver gives up after its caller has left
    connector = Connector(network.connect)
    network.error = ConnectionResetError("reset")
    with pytest.raises(TaskBackendUnavailableError):
        within(connector, SOON)
    threading.Timer(2 * SOON, network.released.set).start()
    first = connector.attempt
    assert first is not None
    # when the attempt of the next caller hangs until the deadline too
    later = Network()
    connector.connect_now = later.connect
    with pytest.raises(TaskBackendUnavailableError) as raised:
        within(connector, 10 * SOON)
    # then the cause is the driver's error
    assert raised.value.__cause__ is first.error is network.error
    later.released.set()


def test_the_failure_of_a_callers_own_attempt_is_raised(network: Network) -> None:
    network.hangs, network.error = False, ConnectionRefusedError("refused")
    with pytest.raises(ConnectionRefusedError):
        within(Connector(network.connect), LATE)
    assert network.attempts == 1


def test_hanging_attempts_do_not_pile_up(network: Network) -> None:
    # given a network in which everything hangs
    connector = Connector(network.connect)
    # when many callers try to connect and leave
    for _ in range(MAXIMUM_OVERDUE + 5):
        with pytest.raises(TaskBackendUnavailableError):
            within(connector, 0.02)
    # then the number of hanging threads is bounded
    assert network.attempts == MAXIMUM_OVERDUE + 1
    # and when they are released, the next caller has a connection
    network.released.set()
    assert within(connector, LATE).is_current()
