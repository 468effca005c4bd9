"""A proxy in front of the real S3 server that simulates failures of a store."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "date", "server"}
PIECE = 1 << 13


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Exchange:
    """One request and the ways to answer it.

    Attributes:
        number: Number of the request among the requests of this method, from 1.
        method: HTTP method of the request.
        path: Path and query of the request.
        headers: Headers of the request.
        range: Range header of the request; empty without the header.
        body: Body of the request. A fault may replace it.
    """

    def __init__(self, handler: "_Handler", number: int) -> None:
        self._handler = handler
        self.number = number
        self.method = handler.command
        self.path, self.headers = handler.path, handler.headers
        self.range = handler.headers.get("Range", "")
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))

    def forward(self) -> Answer:
        """Send the request to the real server, and return its answer."""
        address = urlsplit(self._handler.endpoint_url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        connection.putrequest(self.method, self._handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self._handler.headers.items():
            if name.lower() not in {"connection", "expect"}:
                connection.putheader(name, value)
        connection.endheaders(self.body)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return Answer(answer.status, [h for h in answer.getheaders() if h[0].lower() not in NOT_PASSED_ON], body)

    def reply(self, answer: Answer, *, only: int | None = None, pause: float = 0.0) -> None:
        """Send an answer: complete, truncated, or in pieces with pauses."""
        handler = self._handler
        handler.send_response(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        if "content-length" not in {name.lower() for name, _ in answer.headers}:
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        body = answer.body if only is None else answer.body[:only]
        for start in range(0, len(body), PIECE if pause else max(len(body), 1)):
            handler.wfile.write(body[start : start + (PIECE if pause else len(body))])
            time.sleep(pause)
        handler.wfile.flush()
        if only is not None:
            handler.close_connection = True


Fault = Callable[[Exchange], None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    endpoint_url: ClassVar[str]
    fault: ClassVar[list[Fault]]
    counts: ClassVar[dict[str, int]]
    counting: ClassVar[threading.Lock]

    def _serve(self) -> None:
        with self.counting:
            self.counts[self.command] = number = self.counts.get(self.command, 0) + 1
        try:
            self.fault[0](Exchange(self, number))
        except ConnectionError:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore a client that closes its connection."""


@contextmanager
def s3_proxy(endpoint_url: str, fault: Fault) -> Iterator[str]:
    """Run a proxy during the block, and return its endpoint URL.

    Args:
        endpoint_url: Endpoint of the server.
        fault: Function that answers each request.
    """
    members = {"endpoint_url": endpoint_url, "fault": [fault], "counts": {}, "counting": threading.Lock()}
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), members))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
