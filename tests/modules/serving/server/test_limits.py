"""What a client cannot do: stall the server, take its memory, or reach it by a foreign name."""

import gzip
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tfx_fusion.modules.serving.server.limits import Limits, is_allowed_host

BODY = {"signature_name": "halve", "instances": [[1.0, 2.0]]}
BOMB = b'{"instances": [' + b"[]," * (8 << 20) + b"[]]}"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(
    running: Any, packed: bool
) -> None:
    headers = {"Content-Encoding": "gzip"} if packed else {}
    body = gzip.compress(BOMB, 1, mtime=0) if packed else BOMB

    answer = requests.post(f"{running.url}:predict", body, headers=headers, timeout=30)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("expected at most 5000000 values in a JSON body, ")
    assert requests.get(f"{running.rest}/healthz", timeout=30).text == "ok"


def test_a_body_beyond_the_limit_is_refused(serve: Callable[..., Any], tiny: Path) -> None:
    server = serve(tiny, limits=Limits(body=1000, values=20))

    def status(body: bytes, **headers: str) -> int:
        return requests.post(f"{server.url}:predict", body, headers=headers, timeout=30).status_code

    assert requests.post(f"{server.url}:predict", json=BODY, timeout=30).status_code == 200
    assert status(b" " * 1001) == 413
    assert status(gzip.compress(b" " * 1001), **{"Content-Encoding": "gzip"}) == 413
    many = ",".join("12345678901234567890")
    assert status(f'{{"signature_name": "halve", "instances": [[{many}]]}}'.encode()) == 400


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("localhost", True), ("localhost:8501", True), ("LOCALHOST:1", True),
        ("127.0.0.1:8501", True), ("10.2.3.4:8501", True), ("[::1]:8501", True), ("[::1]", True),
        ("models.example", True), ("Models.Example:80", True),
        ("evil.example", False), ("evil.example:8501", False), ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False), ("", False), ("[evil.example]:1", False),
    ],
)  # fmt: skip
def test_a_name_passes_where_it_is_allowed_and_an_address_always(host: str, passes: bool) -> None:
    assert is_allowed_host(host, ["models.example"]) == passes
    assert is_allowed_host(host, ["*"])


def test_a_request_to_a_foreign_name_is_refused(running: Any) -> None:
    answer = requests.post(
        f"{running.url}:predict", json=BODY, headers={"Host": "evil.example"}, timeout=30
    )

    assert answer.status_code == 421
    assert "found 'evil.example': name it by --allowed-host" in answer.json()["error"]


def connect(server: Any) -> socket.socket:
    host, _, port = server.rest.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_a_client_that_is_too_slow_is_given_up(serve: Callable[..., Any], tiny: Path) -> None:
    server = serve(tiny, limits=Limits(seconds=0.5))

    with connect(server) as header, connect(server) as body:
        header.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")  # and never ends
        body.sendall(
            b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert header.recv(1000) == b""
        assert b"408 Request Timeout" in body.recv(1000)


def test_connections_are_bounded_and_free_again_when_they_end(
    serve: Callable[..., Any], tiny: Path
) -> None:
    server = serve(tiny, limits=Limits(connections=2))
    health = f"{server.rest}/healthz"

    with requests.Session() as one, requests.Session() as two:
        assert [session.get(health, timeout=30).status_code for session in (one, two)] == [200] * 2
        refused = requests.get(health, timeout=30)
        assert refused.status_code == 503
        assert "2 connections are open already" in refused.json()["error"]
        with connect(server) as silent:
            assert silent.recv(1000) == b""
    end = time.monotonic() + 30
    while requests.get(health, timeout=30).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
