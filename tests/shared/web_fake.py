"""What fakes of web services share: a real HTTP server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message  # whose names are of any case
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered: bytes and texts as they are, all else as JSON."""

    status: int
    content: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class WebFake:
    """Answers requests, and keeps them."""

    requests: list[Request] = field(default_factory=list, init=False)

    def answer(self, request: Request) -> Answer:
        """What to answer."""
        raise NotImplementedError

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serves while the block runs, at the address that it is given."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def _handler(fake: WebFake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query, headers = dict(parse_qsl(parts.query)), self.headers
            request = Request(self.command, parts.path, query, headers, body)
            fake.requests.append(request)
            answer = fake.answer(request)
            content, kind = answer.content, "text/html; charset=utf-8"
            if not isinstance(content, str | bytes):
                content, kind = json.dumps(content), "application/json"
            data = content.encode() if isinstance(content, str) else content
            self.send_response(answer.status)
            for name, value in {"Content-Type": kind, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing."""

    return Handler
