"""Malformed requests over REST."""

import base64
import gzip
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from benchmarks.malformed import Arrays, Draw, Fuzzer, Target, Verdict, damaged, differences, one_of
from tfx_fusion.modules.serving.remote import in_json
from tfx_fusion.modules.serving.server.limits import Limits

# Kinds of which some requests are valid; all others must be refused.
MAY_BE_ANSWERED = {"changed_bytes", "not_a_number", "content_type", "huge_number"}
NESTED = (3, 40, 70, 300, 900, 980, 5000, 200_000)
LONE = "\ud800"  # half of a character, which JSON can say and UTF-8 cannot
SECONDS = 60


@dataclass
class Request:
    """A request on its way; `body` is sent as JSON unless it is bytes."""

    body: Any
    path: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class RestFuzzer(Fuzzer):
    """Malformed requests to `:predict`, `:classify` and `:regress`."""

    answered = "200"

    def __init__(self, target: Target) -> None:
        super().__init__(replace(target, oracle=lambda *asked: _as_json(target.oracle(*asked))))
        self.kinds = tuple(CHANGES)
        self._connection = http.client.HTTPConnection(
            target.rest.removeprefix("http://"), timeout=SECONDS
        )

    def close(self) -> None:
        self._connection.close()

    def requests(self, kind: str) -> st.SearchStrategy[Request]:
        return _requests(self._target, kind)

    def good_request(self, signature: str) -> Request:
        return good_request(self._target, signature)

    def send(self, kind: str, request: Request) -> Verdict:
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
            # What is not HTTP is refused in plain text, before the request reaches the application.
            plain = answer.status == 400 and answer.headers.get_content_type() == "text/plain"
            explained = request.method == "HEAD" or plain or _error_in(text)
            return Verdict(status, "" if proper and explained else shown)
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
    columns = {name: in_json(a.tolist()) for name, a in target.good[signature].items()}
    body = {"signature_name": signature, "inputs": columns}
    return Request(body, f"/v1/models/{target.name}:predict")


def _error_in(text: bytes) -> bool:
    try:
        return bool(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return False


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
    """Outputs as JSON can say them: bytes that are not text are replaced."""
    return {
        name: np.vectorize(lambda value: value.decode(errors="replace").encode(), [object])(values)
        if values.dtype == object
        else values
        for name, values in outputs.items()
    }


@st.composite
def _requests(draw: Draw, target: Target, kind: str) -> Request:
    request = good_request(target, draw(one_of(target.good)))
    CHANGES[kind](draw, request)
    return request


def _put(draw: Draw, request: Request, value: Any) -> None:
    """Puts a value in the place of an input, of one of its rows, or of one of its numbers."""
    columns = request.body["inputs"]
    name = draw(one_of(columns))
    row = columns[name][0]
    match draw(st.integers(0, 2)):
        case 0:
            columns[name] = value
        case 1 if isinstance(row, list):
            row[0] = value
        case _:
            columns[name][0] = value


def _wrong_value(draw: Draw, request: Request) -> None:
    values: list[Any] = [None, {}, [[]], {"b64": "a?"}, {"b64": 3}, {"b65": "aa"}, [1, [2]],
                         {"b64": "aa", "x": 1}, [None], [{}], LONE]  # fmt: skip
    names = st.text(max_size=5).filter(lambda text: text != "b64")
    other = st.dictionaries(names, st.integers(), min_size=1, max_size=3)
    _put(draw, request, draw(st.sampled_from(values) | st.booleans() | other))


def _nested(draw: Draw, request: Request) -> None:
    depth = draw(st.sampled_from(NESTED))
    start, end = draw(st.sampled_from([(b"[", b"]"), (b'{"x":', b"}")]))
    where = (b'{"inputs": %s}', b'{"instances": [%s]}', b'{"signature_name": %s}', b"%s")
    request.body = draw(st.sampled_from(where)) % (start * depth + b"1" + end * depth)


def _names(draw: Draw, request: Request) -> None:
    columns = request.body["inputs"]
    name = draw(one_of(columns))
    match draw(st.integers(0, 2)):
        case 0:
            del columns[name]
        case 1:
            columns[draw(st.sampled_from(["", "other", LONE, "é" * 5000]))] = columns[name]
        case _:
            columns[LONE] = columns.pop(name)


def _wrong_form(draw: Draw, request: Request) -> None:
    inputs = request.body["inputs"]
    bodies: list[Any] = [
        [], 3, None, "text", {}, {"instances": []}, {"instances": inputs}, {"inputs": None},
        {"inputs": inputs, "instances": [inputs]}, {"instances": [inputs, 3]}, {"input": inputs},
        {**request.body, "signature_name": LONE}, {**request.body, "signature_name": 3},
        {**request.body, "signature_name": "é" * 5000}, {"instances": [{}]},
    ]  # fmt: skip
    request.body = draw(st.sampled_from(bodies))


def _not_a_number(draw: Draw, request: Request) -> None:
    for column in request.body["inputs"].values():
        for row in column:
            if isinstance(row, list) and isinstance(row[0], float):
                row[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))


def _huge_number(draw: Draw, request: Request) -> None:
    huge = ["1e999", "-1e39", "1" * 400, "9" * 5000, str(1 << 63), "-0.0", "1e-400"]
    _put(draw, request, "HUGE")
    request.body = request.content().replace(b'"HUGE"', draw(st.sampled_from(huge)).encode())


def _broken_json(draw: Draw, request: Request) -> None:
    content = request.content()
    broken = [
        b"", b"\xff\xfe{}", b"{", content[:-1], content + b"}", b"\x00",
        content.replace(b'"', b"'"), b"NaN", content.decode().encode("utf-16")[:-1],
    ]  # fmt: skip
    not_text = st.binary(max_size=200).map(lambda tail: b"\xff" + tail)
    request.body = draw(st.sampled_from(broken) | not_text)


def _changed_bytes(draw: Draw, request: Request) -> None:
    request.body = draw(damaged(request.content()))


def _content_type(draw: Draw, request: Request) -> None:
    kinds = ["text/xml", "multipart/form-data", "application/json; charset=none", "%", "a" * 2000,
             "multipart/form-data; boundary=x", "application/octet-stream"]  # fmt: skip
    request.headers["Content-Type"] = draw(st.sampled_from(kinds))


def _encoding(draw: Draw, request: Request) -> None:
    kind = draw(st.sampled_from(["gzip", "deflate", "br", "none, é"]))
    request.headers["Content-Encoding"] = kind
    request.body = request.content()
    if kind == "gzip" and draw(st.booleans()):
        request.body = gzip.compress(request.body, mtime=0)[:-12]


def _path(draw: Draw, request: Request) -> None:
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
    request.path = draw(st.sampled_from(paths))


def _method(draw: Draw, request: Request) -> None:
    methods = ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "GUESS"]
    request.method = draw(st.sampled_from(methods))


def _examples(draw: Draw, request: Request) -> None:
    method = draw(st.sampled_from(["classify", "regress"]))
    request.path = request.path.replace("predict", method)
    wrong: list[Any] = [
        None, [], 3, {"x": 1.0}, [3], [{"x": "a"}], [{}], [{LONE: 1.0}], [{"x": LONE}],
        [{"x": [1, "a"]}], [{"x": 10**30}], [{"x": {"b64": "?"}}], [{"x": [[1.0]]}],
        [{"x": [1.0, 2.0]}], [{"x": None}], [[]],
    ]  # fmt: skip
    request.body = {
        "signature_name": draw(st.sampled_from(["", "classify", "regress", "halve", LONE])),
        "examples": draw(st.sampled_from(wrong)),
    }
    if draw(st.booleans()):
        contexts: list[Any] = [3, None, {LONE: 1.0}, {"x": [1, "a"]}]
        request.body["context"] = draw(st.sampled_from(contexts))


CHANGES: dict[str, Callable[[Draw, Request], None]] = {
    "wrong_value": _wrong_value, "nested": _nested, "names": _names, "wrong_form": _wrong_form,
    "not_a_number": _not_a_number, "huge_number": _huge_number, "broken_json": _broken_json,
    "changed_bytes": _changed_bytes, "content_type": _content_type, "encoding": _encoding,
    "path": _path, "method": _method, "examples": _examples,
}  # fmt: skip


def oversized(target: Target) -> Request:
    """A request of few bytes that unpack to more than a server accepts."""
    request = good_request(target, "serving_default")
    request.body = _too_large()
    request.headers["Content-Encoding"] = "gzip"
    return request


@cache
def _too_large() -> bytes:
    return gzip.compress(b" " * (Limits().body + 1), 1, mtime=0)
