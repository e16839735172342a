"""Whether a server gives the expected answers, and refuses malformed requests without harm."""

from collections.abc import Iterator

import numpy as np
import requests
import tensorflow as tf

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.check.expected import Expected
from tfx_fusion.modules.serving.check.process import Running
from tfx_fusion.modules.serving.predictor import RowsError
from tfx_fusion.modules.serving.remote import OverGrpc, OverRest

TOLERANCE = 1e-5
SECONDS = 60


def wrong_answers(running: Running, wanted: Expected) -> Iterator[str]:
    """The differences from the expected answers, one for each protocol and output.

    Each row is sent by itself, then all together.
    """
    for protocol, model in (
        ("gRPC", OverGrpc(wanted.name, running.grpc)),
        ("REST", OverRest(wanted.name, running.rest)),
    ):
        count = len(wanted.row_ids)
        reported: set[str] = set()
        requests_ = [(position, position + 1) for position in range(count)]
        for start, end in [*requests_, (0, count)]:
            which = wanted.row_ids[start] if end - start == 1 else f"all {count} rows at once"
            for output, problem in _differences(model, wanted, start, end):
                if output not in reported:
                    reported.add(output)
                    yield f"{protocol}, {which}: {problem}"


def _differences(
    model: OverGrpc | OverRest, wanted: Expected, start: int, end: int
) -> Iterator[tuple[str, str]]:
    try:
        given = model.ask({name: values[start:end] for name, values in wanted.inputs.items()})
    except (RowsError, RunError) as error:
        yield "", f"expected an answer, found {error}"
        return
    if given.keys() != wanted.outputs.keys():
        yield "", f"expected the outputs {sorted(wanted.outputs)}, found {sorted(given)}"
        return
    for name, values in wanted.outputs.items():
        difference = _difference(values[start:end], given[name])
        if difference:
            yield name, f"output '{name}' {difference}"


def _difference(wanted: np.ndarray, found: np.ndarray) -> str:
    if wanted.shape != found.shape:
        return f"has shape {found.shape}, expected {wanted.shape}"
    if wanted.dtype == object:
        texts = [tf.compat.as_bytes(text) for text in found.ravel()]
        return "" if texts == wanted.ravel().tolist() else f"is {found.tolist()}, expected {wanted}"
    wanted, found = wanted.astype(float), found.astype(float)
    close = np.isclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)
    if close.all():
        return ""
    place = np.unravel_index(np.argmax(np.abs(found - wanted) * ~close), wanted.shape)
    return (
        f"is off by {abs(found[place] - wanted[place]):.3g}: expected {wanted[place]:.6g}, "
        f"found {found[place]:.6g}; at most {TOLERANCE:g} is allowed"
    )


def not_refused(running: Running, wanted: Expected) -> Iterator[str]:
    """Malformed requests that were answered, or after which the server answers no more."""
    model = OverGrpc(wanted.name, running.grpc)
    for what, inputs in wanted.malformed.items():
        try:
            model.ask(inputs)
            yield f"gRPC, {what}: expected a refusal, found an answer"
        except RowsError:
            pass
        except RunError as error:
            yield f"gRPC, {what}: expected INVALID_ARGUMENT, found {error}"
    url = f"{running.rest}/v1/models/{wanted.name}"
    for what, path, body, code in (
        ("broken JSON", ":predict", "{", 400),
        ("no inputs", ":predict", "{}", 400),
        ("an unknown version", "/versions/999999999:predict", '{"instances": [1]}', 404),
    ):
        try:
            answer = requests.post(f"{url}{path}", data=body, timeout=SECONDS)
        except requests.RequestException as error:
            yield f"REST, {what}: expected code {code}, found {error}"
            continue
        if answer.status_code != code or "error" not in answer.json():
            yield f"REST, {what}: expected code {code}, found {answer.status_code}: {answer.text}"
    for _, problem in _differences(model, wanted, 0, 1):
        yield f"gRPC, {wanted.row_ids[0]}, after malformed requests: {problem}"
