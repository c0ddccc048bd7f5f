"""A TCP proxy that misbehaves on demand, in front of a store's server (FAIL-05 to FAIL-09)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES: Final = 65_536
# The socket option SO_LINGER: enabled, zero seconds. Closing then sends a reset instead of an orderly end.
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Kind(enum.Enum):
    """A network fault between client and server, for open and new connections."""

    NONE = "forward everything"
    REFUSE = "new connections are refused, and open ones are reset"
    RESET = "connections are accepted and reset"
    BLACK_HOLE = "connections are accepted, and nothing passes"
    DELAY = "replies come `seconds` late"
    DRIP = "replies come one byte every `seconds`"
    CUT = "the connection is reset after `size` bytes of the next reply"
    DROP = "the connection is reset when the next request comes, and the request is lost"
    SWALLOW = "requests pass, replies are lost"


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind = Kind.NONE
    seconds: float = 0.0
    size: int = 0
    is_once: bool = False
    """For `CUT` and `DROP`: forward everything again after one connection was reset."""


class FaultProxy:
    """A proxy that listens on a free loopback port and forwards to a server. Its event loop runs on its own thread."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.fault = Fault()
        # The total bytes received from clients and from the server.
        self.requested = self.replied = 0
        self.loop = asyncio.new_event_loop()
        self.server: asyncio.Server | None = None
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_forever, name="fault-proxy", daemon=True)
        self.thread.start()
        self.port = 0
        self.run(self.listen())

    @classmethod
    def in_front_of(cls, url: str, default_port: int = 0) -> tuple[Self, str]:
        """Return a proxy in front of the server of a URL with one host, and the URL that leads through it."""
        parts = urlsplit(url)
        proxy = cls(parts.hostname or "127.0.0.1", parts.port or default_port)
        userinfo, at, _ = parts.netloc.rpartition("@")
        return proxy, urlunsplit(parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{proxy.port}"))

    def set(self, kind: Kind, *, seconds: float = 0.0, size: int = 0, is_once: bool = False) -> None:
        """Set the fault of all connections from now on, including the open ones."""
        self.run(self.change(Fault(kind, seconds, size, is_once)))

    def close(self) -> None:
        self.run(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- On the loop ------------------------------------------------------------------------------------------------

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=10)

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def change(self, fault: Fault) -> None:
        self.fault = fault
        self.changed.set()
        self.changed = asyncio.Event()
        if fault.kind in (Kind.REFUSE, Kind.RESET):
            self.reset_all()
        if fault.kind is Kind.REFUSE:
            await self.stop_listening()
        elif self.server is None:
            await self.listen()

    async def stop_listening(self) -> None:
        if self.server is None:
            return
        for listener in self.server.sockets:
            self.loop.remove_reader(listener.fileno())
        # asyncio forgets to close a connection if the server closes between its accept and its first turn.
        await asyncio.sleep(0.01)
        self.server.close()
        self.server = None

    async def end(self) -> None:
        await self.stop_listening()
        # A connection that is being accepted right now starts more tasks.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            self.reset_all()
            for task in self.tasks:
                task.cancel()
            await asyncio.wait(others, timeout=0.05)
        # A transport needs one more turn of the loop to close.
        await asyncio.sleep(0)

    def reset_all(self) -> None:
        for writer in list(self.writers):
            reset(writer)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault.kind is Kind.RESET:
            reset(writer)
            return
        self.writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            self.writers.discard(writer)
            reset(writer)
            return
        self.writers.add(server_writer)
        requests = self.start(self.pump(reader, server_writer, is_reply=False))
        replies = self.start(self.pump(server_reader, writer, is_reply=True))
        await asyncio.wait({requests, replies}, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, server_writer):
            self.writers.discard(each)
            each.close()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if is_reply:
                    self.replied += len(data)
                else:
                    self.requested += len(data)
                # The data is kept, not lost: a network that recovers delivers it late, which is part of the fault.
                while self.fault.kind is Kind.BLACK_HOLE:
                    await self.changed.wait()
                if not is_reply and self.fault.kind is Kind.DROP:
                    self.end_fault_if_once()
                    return
                if not is_reply or self.fault.kind is Kind.NONE:
                    writer.write(data)
                elif await self.misbehave(data, writer):
                    return
                await writer.drain()

    def end_fault_if_once(self) -> None:
        """End a fault that happens once; called when a connection is about to be reset."""
        if self.fault.is_once:
            self.fault = Fault()

    async def misbehave(self, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """Forward a reply as the fault requires. Return whether the connection was closed."""
        fault = self.fault
        if fault.kind is Kind.CUT:
            self.end_fault_if_once()
            if fault.size:
                writer.write(data[: fault.size])
                await writer.drain()
                # Let the bytes leave first: a reset discards bytes that have not been sent.
                await asyncio.sleep(0.05)
            reset(writer)
            return True
        if fault.kind is Kind.DRIP:
            for position in range(len(data)):
                writer.write(data[position : position + 1])
                await writer.drain()
                await asyncio.sleep(fault.seconds if self.fault is fault else 0)
        elif fault.kind is not Kind.SWALLOW:
            await asyncio.sleep(fault.seconds)
            writer.write(data)
        return False


def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
