"""An HTTP server on this machine that can misbehave as real ones do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    """What was asked, and how many bytes of a file were answered."""

    path: str
    range: str
    sent: int


class Server:
    """Files by path, and what goes wrong at the next requests of a path, one fault each; then all is well.

    Faults: "stop" (half the bytes, then the connection ends), "stall" (half the bytes, then nothing), "drop" (no
    answer), a status such as "503", "whole" (ignores the range), "skewed" (a range that begins too early),
    "chunked" (no length), "-> URL" (redirects).
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.requests: list[Request] = []
        self.over = threading.Event()  # ends what stalls

    def asked(self, path: str) -> list[Request]:
        """The requests of one path."""
        return [request for request in self.requests if request.path == path]


class Handler(BaseHTTPRequestHandler):
    script: Server

    def do_GET(self) -> None:
        asked, content = self.headers.get("Range", ""), self.script.files.get(self.path)
        faults = self.script.faults.get(self.path)
        fault = faults.pop(0) if faults else ""
        if fault == "drop":
            self.script.requests.append(Request(self.path, asked, 0))
        elif fault.startswith("-> "):
            self.answer(302, Location=fault.removeprefix("-> "))
        elif fault.isdecimal() or content is None:
            self.answer(int(fault or 404))
        else:
            self.send(content, int(asked[6:-1]) if asked and fault != "whole" else 0, fault)

    def send(self, content: bytes, first: int, fault: str) -> None:
        if first >= len(content) > 0:
            self.answer(416, Content_Range=f"bytes */{len(content)}")
            return
        status, place = (206, f"bytes {first}-{len(content) - 1}/{len(content)}") if first else (200, "")
        body = content[first - 1 if fault == "skewed" else first :]
        length = "" if fault == "chunked" else str(len(body))
        part = body[: len(body) // 2] if fault in ("stop", "stall") else body
        self.answer(status, part, Content_Range=place, Content_Length=length)
        if fault == "stall":
            self.script.over.wait(30)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.script.requests.append(Request(self.path, self.headers.get("Range", ""), len(body)))
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Keeps the tests' output clean."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server in a thread of its own."""
    handler = type("Scripted", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        server = handler.script = Server(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            http.shutdown()
            thread.join()
