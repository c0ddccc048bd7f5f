"""The TCP proxy of the fault clauses does what its fault kinds say."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from module_sdk_contract.faults.fault_proxy import FaultProxy, Kind


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """Yield a proxy in front of a server that echoes everything."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1_024):
                connection.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with FaultProxy("127.0.0.1", listener.getsockname()[1]) as proxy:
        yield proxy
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@contextlib.contextmanager
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        connection.sendall(b"hello")
        assert read(connection, 5) == b"hello"
        yield connection


def read(connection: socket.socket, size: int) -> bytes:
    with connection.makefile("rb", buffering=0) as stream:
        data = b""
        while len(data) < size:
            data += stream.read(size - len(data)) or b""
        return data


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def test_refuse_resets_and_refuses_until_the_same_port_recovers(proxy: FaultProxy) -> None:
    with client(proxy) as connection:
        proxy.set(Kind.REFUSE)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5)

    proxy.set(Kind.NONE)

    with client(proxy):
        pass


def connect_and_read(proxy: FaultProxy) -> bytes:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        return connection.recv(1)


def test_reset_resets_new_connections(proxy: FaultProxy) -> None:
    proxy.set(Kind.RESET)

    # The reset may reach the client during `create_connection`.
    with pytest.raises(ConnectionResetError):
        connect_and_read(proxy)


def test_black_hole_delivers_everything_after_it_ends(proxy: FaultProxy) -> None:
    with client(proxy) as connection:
        proxy.set(Kind.BLACK_HOLE)
        connection.sendall(b"later")
        assert is_silent(connection)

        proxy.set(Kind.NONE)

        assert read(connection, 5) == b"later"


def test_swallow_loses_replies_until_it_ends(proxy: FaultProxy) -> None:
    with client(proxy) as connection:
        proxy.set(Kind.SWALLOW)
        connection.sendall(b"lost")
        assert is_silent(connection)

        proxy.set(Kind.NONE)
        connection.sendall(b"found")

        assert read(connection, 5) == b"found"


def test_cut_ends_a_reply_in_the_middle(proxy: FaultProxy) -> None:
    with client(proxy) as connection:
        proxy.set(Kind.CUT, size=3)
        connection.sendall(b"whole")

        assert read(connection, 3) == b"who"
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.DROP])
def test_a_fault_that_happens_once_spares_the_next_connection(proxy: FaultProxy, kind: Kind) -> None:
    with client(proxy) as connection:
        proxy.set(kind, is_once=True)
        connection.sendall(b"lost")

        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(5) == b""

    with client(proxy):
        pass


def test_drop_loses_requests(proxy: FaultProxy) -> None:
    with client(proxy) as connection:
        replied = proxy.replied
        proxy.set(Kind.DROP)
        connection.sendall(b"lost")

        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(5) == b""
        assert proxy.replied == replied


def test_drip_and_delay_deliver_everything_late(proxy: FaultProxy) -> None:
    for kind in (Kind.DRIP, Kind.DELAY):
        with client(proxy) as connection:
            proxy.set(kind, seconds=0.1)
            started = time.monotonic()
            connection.sendall(b"slow")

            assert read(connection, 4) == b"slow"
            assert time.monotonic() - started >= 0.1
            proxy.set(Kind.NONE)


def test_the_url_leads_through_the_proxy() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    proxy, url = FaultProxy.in_front_of(f"redis://user:p%40ss@127.0.0.1:{port}/3?namespace=a", 6_379)

    with proxy, listener:
        assert url == f"redis://user:p%40ss@127.0.0.1:{proxy.port}/3?namespace=a"
