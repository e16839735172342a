"""Malformed requests over REST."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from benchmarks.malformed import Arrays, Target, Verdict, any_of, changed_bytes, differences
from tfx_fusion.modules.serving.server.rest import LARGEST_BODY

# What may still mean something; all others must be refused.
MAY_BE_ANSWERED = {"changed_bytes", "not_a_number", "content_type", "huge_number"}
NESTED = (3, 40, 70, 300, 900, 980, 5000, 200_000)
LONE = "\ud800"  # half of a character, which JSON can say and UTF-8 cannot
SECONDS = 60
Random = np.random.Generator


@dataclass
class Request:
    """A request on its way; `body` is sent as JSON unless it is bytes."""

    body: Any
    path: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class RestFuzzer:
    """Sends malformed requests, each by a seed of its own."""

    def __init__(self, target: Target) -> None:
        self._target = replace(target, oracle=lambda *asked: _as_json(target.oracle(*asked)))
        self._connection = http.client.HTTPConnection(
            target.rest.removeprefix("http://"), timeout=SECONDS
        )

    def close(self) -> None:
        self._connection.close()

    def send(self, seed: int) -> tuple[str, Verdict]:
        """The kind of the request, and what came of it."""
        random = np.random.default_rng(seed)
        return self.send_kind(any_of(random, KINDS), random)

    def send_kind(self, kind: str, random: Random) -> tuple[str, Verdict]:
        request = good_request(self._target, any_of(random, self._target.good))
        ALL_KINDS[kind](random, request)
        return kind, self._ask(kind, request)

    def good_answer(self) -> str:
        """What is wrong with the answers to good requests; nothing where there is nothing."""
        for signature in self._target.good:
            verdict = self._ask("not_a_number", good_request(self._target, signature))
            if verdict.status != "200" or verdict.wrong:
                return f"{verdict.status} {verdict.wrong}"
        return ""

    def _ask(self, kind: str, request: Request) -> Verdict:
        content = request.content()
        try:
            self._connection.request(request.method, request.path, content, request.headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Verdict("no answer", f"{request.method} {request.path}: {error!r}")
        status = str(answer.status)
        shown = f"{request.path[:200]} {content[:200]!r}: {text[:200]!r}"
        if answer.status != 200:
            proper = 400 <= answer.status < 500 or answer.status == 501
            # What is no HTTP is refused in plain text, before anything knows what was meant.
            plain = answer.status == 400 and answer.headers.get_content_type() == "text/plain"
            told = request.method == "HEAD" or plain or _error_in(text)
            return Verdict(status, "" if proper and told else shown)
        if kind not in MAY_BE_ANSWERED:
            return Verdict(status, f"expected a refusal: {shown}")
        asked = json.loads(content)
        signature = asked.get("signature_name", "") or "serving_default"
        inputs = _arrays(asked["inputs"], self._target.good[signature])
        outputs = json.loads(text)["outputs"]
        if not isinstance(outputs, dict):  # a lone output goes without its name
            outputs = {next(iter(self._target.oracle(signature, inputs))): outputs}
        found = {name: _array(values) for name, values in outputs.items()}
        return Verdict(status, differences(self._target, signature, inputs, found))


def good_request(target: Target, signature: str) -> Request:
    """A request that must be answered."""
    columns = {name: _json(a.tolist()) for name, a in target.good[signature].items()}
    body = {"signature_name": signature, "inputs": columns}
    return Request(body, f"/v1/models/{target.name}:predict")


def _error_in(text: bytes) -> bool:
    try:
        return bool(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return False


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"] + "==")
    return value.encode() if isinstance(value, str) else value


def _arrays(columns: Any, like: Arrays) -> dict[str, np.ndarray]:
    named = isinstance(columns, dict) and columns.keys() != {"b64"}
    given = columns if named else {next(iter(like)): columns}
    return {name: np.array(_bytes(given[name]), like[name].dtype) for name in like}


def _array(values: Any) -> np.ndarray:
    plain = np.array(_bytes(values), dtype=object)
    kinds = {type(value) for value in plain.ravel()}
    return plain if bytes in kinds else plain.astype(np.float64)


def _as_json(outputs: Arrays) -> Arrays:
    """Outputs as JSON can say them: bytes that are no text are not all told."""
    return {
        name: np.vectorize(lambda value: value.decode(errors="replace").encode(), [object])(values)
        if values.dtype == object
        else values
        for name, values in outputs.items()
    }


def _put(random: Random, request: Request, value: Any) -> None:
    """Puts a value in the place of an input, of one of its rows, or of something inside."""
    columns = request.body["inputs"]
    name = any_of(random, columns)
    row = columns[name][0]
    if random.random() < 0.3:
        columns[name] = value
    elif isinstance(row, list) and random.random() < 0.5:
        row[0] = value
    else:
        columns[name][0] = value


def _wrong_value(random: Random, request: Request) -> None:
    values: list[Any] = [None, {}, [[]], {"b64": "a?"}, {"b64": 3}, {"b65": "aa"}, [1, [2]],
                         {"b64": "aa", "x": 1}, [None], [{}], LONE]  # fmt: skip
    _put(random, request, values[random.integers(len(values))])


def _nested(random: Random, request: Request) -> None:
    depth = NESTED[random.integers(len(NESTED))]
    kind = b"[", b"]"
    if random.random() < 0.3:
        kind = b'{"x":', b"}"
    deep = kind[0] * depth + b"1" + kind[1] * depth
    where = (b'{"inputs": %s}', b'{"instances": [%s]}', b'{"signature_name": %s}', b"%s")
    request.body = where[random.integers(len(where))] % deep


def _names(random: Random, request: Request) -> None:
    columns = request.body["inputs"]
    name = any_of(random, columns)
    match random.integers(3):
        case 0:
            del columns[name]
        case 1:
            columns[str(random.choice(["", "other", LONE, "é" * 5000]))] = columns[name]
        case _:
            columns[LONE] = columns.pop(name)


def _wrong_form(random: Random, request: Request) -> None:
    inputs = request.body["inputs"]
    bodies: list[Any] = [
        [], 3, None, "text", {}, {"instances": []}, {"instances": inputs}, {"inputs": None},
        {"inputs": inputs, "instances": [inputs]}, {"instances": [inputs, 3]}, {"input": inputs},
        {**request.body, "signature_name": LONE}, {**request.body, "signature_name": 3},
        {**request.body, "signature_name": "é" * 5000}, {"instances": [{}]},
    ]  # fmt: skip
    request.body = bodies[random.integers(len(bodies))]


def _not_a_number(random: Random, request: Request) -> None:
    for column in request.body["inputs"].values():
        for row in column:
            if isinstance(row, list) and isinstance(row[0], float):
                row[0] = float(random.choice([np.nan, np.inf, -np.inf]))


def _huge_number(random: Random, request: Request) -> None:
    huge = ["1e999", "-1e39", "1" * 400, "9" * 5000, str(1 << 63), "-0.0", "1e-400"]
    _put(random, request, "HUGE")
    request.body = request.content().replace(b'"HUGE"', any_of(random, huge).encode())


def _broken_json(random: Random, request: Request) -> None:
    content = request.content()
    broken = [
        b"", b"\xff\xfe{}", b"{", content[:-1], content + b"}", b"\x00", random.bytes(200),
        content.replace(b'"', b"'"), b"NaN", content.decode().encode("utf-16")[:-1],
    ]  # fmt: skip
    request.body = broken[random.integers(len(broken))]


def _changed_bytes(random: Random, request: Request) -> None:
    request.body = changed_bytes(random, request.content())


def _content_type(random: Random, request: Request) -> None:
    kinds = ["text/xml", "multipart/form-data", "application/json; charset=none", "%", "a" * 2000,
             "multipart/form-data; boundary=x", "application/octet-stream"]  # fmt: skip
    request.headers["Content-Type"] = any_of(random, kinds)


def _encoding(random: Random, request: Request) -> None:
    kind = any_of(random, ["gzip", "deflate", "br", "none, é"])
    request.headers["Content-Encoding"] = kind
    cut = gzip.compress(request.content())[:-12]
    request.body = cut if kind == "gzip" and random.random() < 0.5 else request.content()


def _path(random: Random, request: Request) -> None:
    model = request.path.removesuffix(":predict")
    paths = [
        "/", "/v1", "/v1/models", f"{model}:guess", f"{model}/versions/999:predict",
        f"{model}/versions/{'9' * 5000}:predict", f"{model}/versions/x:predict",
        f"{model}/versions/-1:predict", "/v1/models/other:predict", f"{model}%ff:predict",
        f"{model}%00:predict", f"{model}//:predict", f"{model}/../:predict",
        "/v1/models/%ED%A0%80:predict",
        f"/{'a' * 20_000}", f"{model}/labels/stable:predict", "*", "//:predict",
        f"{model}/versions/%D9%A3%D9%A9:predict",
    ]  # fmt: skip
    request.path = any_of(random, paths)


def _method(random: Random, request: Request) -> None:
    methods = ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "GUESS"]
    request.method = any_of(random, methods)


def _examples(random: Random, request: Request) -> None:
    request.path = request.path.replace("predict", any_of(random, ["classify", "regress"]))
    wrong: list[Any] = [
        None, [], 3, {"x": 1.0}, [3], [{"x": "a"}], [{}], [{LONE: 1.0}], [{"x": LONE}],
        [{"x": [1, "a"]}], [{"x": 10**30}], [{"x": {"b64": "?"}}], [{"x": [[1.0]]}],
        [{"x": [1.0, 2.0]}], [{"x": None}], [[]],
    ]  # fmt: skip
    request.body = {
        "signature_name": any_of(random, ["", "classify", "regress", "halve", LONE]),
        "examples": wrong[random.integers(len(wrong))],
    }
    if random.random() < 0.3:
        contexts: list[Any] = [3, None, {LONE: 1.0}, {"x": [1, "a"]}]
        request.body["context"] = contexts[random.integers(len(contexts))]


def _oversize(random: Random, request: Request) -> None:
    request.body, request.headers["Content-Encoding"] = _too_large(), "gzip"


@cache
def _too_large() -> bytes:
    """Few bytes that become more than a server takes."""
    return gzip.compress(b" " * (LARGEST_BODY + 1), 1)


KINDS: dict[str, Callable[[Random, Request], None]] = {
    "wrong_value": _wrong_value, "nested": _nested, "names": _names, "wrong_form": _wrong_form,
    "not_a_number": _not_a_number, "huge_number": _huge_number, "broken_json": _broken_json,
    "changed_bytes": _changed_bytes, "content_type": _content_type, "encoding": _encoding,
    "path": _path, "method": _method, "examples": _examples,
}  # fmt: skip
ALL_KINDS = {**KINDS, "oversize": _oversize}  # too slow to be drawn as often as others
