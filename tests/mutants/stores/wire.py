"""A correct store behind a port, and the server that it calls."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from module_sdk_memory.manager import Tables

from module_sdk.backends import Capabilities, ManagerOptions, TaskBackendError, TaskBackendUnavailableError
from tests.mutants.stores.memory import MemoryMutant

REPLY: Final = b"!" * 2_000


class Answering(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while self.request.recv(1):
                self.request.sendall(REPLY)


class AnsweringServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.accepted.add(connection)
        return connection, address

    def server_close(self) -> None:
        for connection in list(self.accepted):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        # It waits for the threads of these connections, so they must end first.
        super().server_close()


@contextlib.contextmanager
def answering_server() -> Iterator[int]:
    """Yield the port of a server that answers each byte with a reply of 2,000 bytes."""
    with AnsweringServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class OverTheWire(MemoryMutant):
    """A store that asks the port of its URL for a reply to each call. A write is complete before the reply arrives."""

    capabilities = Capabilities(server=True, bounded=True)

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        # All ports lead to the same store.
        self.tables = self.shared_tables.setdefault(("wire", options.namespace), Tables())

    def call(self, primitive: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        port = urlsplit(self.url.text).port
        deadline = args[-1] if args else None
        # Only primitives are called with a deadline. Opening does not involve the server.
        if port is None or not isinstance(deadline, float) or primitive.__name__ == "open_or_explain":
            return super().call(primitive, *args, **kwargs)
        try:
            with self.connected(port, deadline) as connection:
                connection.sendall(b"?")
                answer = super().call(primitive, *args, **kwargs)
                self.read(connection, deadline)
                return answer
        except OSError as error:
            raise self.failed(error) from error

    def connected(self, port: int, deadline: float) -> Any:
        return socket.create_connection(("127.0.0.1", port), timeout=left(deadline))

    def read(self, connection: socket.socket, deadline: float) -> None:
        missing = len(REPLY)
        while missing:
            connection.settimeout(self.patience(deadline))
            received = len(connection.recv(missing))
            if not received:
                raise ConnectionError("the reply was cut")
            missing -= received

    def patience(self, deadline: float) -> float | None:
        return left(deadline)

    def failed(self, error: OSError) -> TaskBackendError:
        return TaskBackendUnavailableError(str(error))


def left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
