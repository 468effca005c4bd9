"""A TCP proxy that simulates failures of a network."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BLOCK = 1 << 14


class Cut(Exception):
    """Raised by a fault to end the connection on both sides."""


class Link:
    """One connection through the proxy.

    Attributes:
        number: Number of the connection, from 1.
        sent: Number of bytes passed on so far, by direction: from the client, from the server.
    """

    def __init__(self, number: int, client: socket.socket, server: socket.socket) -> None:
        self.number = number
        self.sent = {"client": 0, "server": 0}
        self._sockets = (client, server)
        self._pumps = 2
        self._counting = threading.Lock()

    def cut(self, *, is_reset: bool = False) -> None:
        """End both sides, normally or with a reset. The close after both directions sends the reset."""
        for side in self._sockets:
            with suppress(OSError):
                if is_reset:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                side.shutdown(socket.SHUT_RD if is_reset else socket.SHUT_RDWR)

    def leave(self) -> None:
        """Record the end of one direction."""
        with self._counting:
            self._pumps -= 1
            if self._pumps == 0:
                for side in self._sockets:
                    side.close()


class Fault:
    """Handles the bytes from a `client` or a `server`. This base class passes all bytes on.

    Attributes:
        is_reset: Whether a cut is a reset.
    """

    is_reset = False

    def __call__(self, link: Link, origin: str, data: bytes) -> bytes:
        """Return the bytes to pass on.

        Raises:
            Cut: Pass on what the exception holds, and end the connection.
        """
        del link, origin
        return data

    def end(self) -> None:
        """Release every connection."""


class CutAfter(Fault):
    """Cuts the first connections after a number of bytes from one side.

    Args:
        origin: `client` or `server`.
        counts: Number of bytes for each connection; later connections are not cut.
        is_reset: Whether the cut is a reset.
    """

    def __init__(self, origin: str, counts: list[int], *, is_reset: bool = False) -> None:
        self._origin, self._counts, self.is_reset = origin, counts, is_reset
        self.cuts = 0

    def __call__(self, link: Link, origin: str, data: bytes) -> bytes:
        if origin == self._origin and link.number <= len(self._counts):
            left = self._counts[link.number - 1] - link.sent[origin]
            if len(data) >= left:
                self.cuts += 1
                raise Cut(data[:left])
        return data


class LoseAnswer(Fault):
    """Cuts the first connection that carries certain bytes from the client, before their answer."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.lost = b""
        self._awaited = 0

    def __call__(self, link: Link, origin: str, data: bytes) -> bytes:
        if origin == "client" and not self._awaited and self._request in data:
            self._awaited = link.number
        elif origin == "server" and link.number == self._awaited and not self.lost:
            self.lost = data
            raise Cut(b"")
        return data


class StallAfter(Fault):
    """Stops reading and sending on the first connections after a number of bytes from one side."""

    def __init__(self, origin: str, count: int, connections: int = 1) -> None:
        self._origin, self._count, self._connections = origin, count, connections
        self._over = threading.Event()
        self.stalled: set[int] = set()

    def __call__(self, link: Link, origin: str, data: bytes) -> bytes:
        if link.number <= self._connections and link.sent[self._origin] >= self._count:
            self.stalled.add(link.number)
            self._over.wait()
            raise Cut(b"")
        return data

    def end(self) -> None:
        self._over.set()


class TcpProxy:
    """Listens on the loopback interface for one server."""

    def __init__(self, host: str, port: int, fault: Fault, receive_buffer: int) -> None:
        self._target, self._fault = (host, port), fault
        self._listener = socket.socket()
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.links: list[Link] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                return
            server.settimeout(None)
            link = Link(len(self.links) + 1, client, server)
            self.links.append(link)
            for origin, source, sink in (("client", client, server), ("server", server, client)):
                thread = threading.Thread(target=self._pump, args=(link, origin, source, sink), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, link: Link, origin: str, source: socket.socket, sink: socket.socket) -> None:
        is_reset = False
        try:
            while data := source.recv(BLOCK):
                passed = self._fault(link, origin, data)
                sink.sendall(passed)
                link.sent[origin] += len(passed)
        except Cut as cut:
            with suppress(OSError):
                sink.sendall(cut.args[0])
            is_reset = self._fault.is_reset
        except OSError:
            pass
        link.cut(is_reset=is_reset)
        link.leave()

    def close(self) -> None:
        self._fault.end()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self.links:
            link.cut()
        for thread in self._threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self._threads)


@contextmanager
def tcp_proxy(host: str, port: int, fault: Fault, receive_buffer: int = 0) -> Iterator[TcpProxy]:
    """Run a proxy during the block.

    Args:
        host: Host of the server.
        port: Port of the server.
        fault: Fault to simulate.
        receive_buffer: Size of the proxy's receive buffer; 0 for the system's default.
    """
    proxy = TcpProxy(host, port, fault, receive_buffer)
    try:
        yield proxy
    finally:
        proxy.close()
