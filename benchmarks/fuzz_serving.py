"""Malformed requests to `fusion serve`: each must get a proper error, and none may harm it."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np
import tensorflow as tf

from benchmarks.figures import HELP, json_option, write_figures
from benchmarks.malformed import Arrays, Fuzzer, Tally, Target, fuzz
from benchmarks.malformed_grpc import GrpcFuzzer
from benchmarks.malformed_rest import RestFuzzer, oversized
from benchmarks.serving_load import mebibytes
from tfx_fusion.modules.serving.check.process import model_server
from tfx_fusion.pipeline.consoles import wide_console

NAME = "fuzzed"
ROUND = 10  # requests of each kind in a round
OVERSIZED = 20  # one round in so many has a body that is too large


def save_model(path: Path) -> None:
    """A signature of every kind of input that a published model takes."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.string, "words"),
            tf.TensorSpec((None, 3), tf.float32, "numbers"),
            tf.TensorSpec((None, 2), tf.int64, "ids"),
        ],
        autograph=False,
    )
    def serving_default(words: Any, numbers: Any, ids: Any) -> dict[str, Any]:
        length = tf.cast(tf.strings.length(words), tf.float32)
        total = tf.reduce_sum(numbers, 1) + tf.cast(tf.reduce_sum(ids, 1), tf.float32) + length
        return {"total": total[:, None], "words": tf.strings.lower(words)}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, "x")], autograph=False)
    def halve(x: Any) -> dict[str, Any]:
        return {"half": x / 2.0}

    signatures = {"serving_default": serving_default, "halve": halve}
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)


def fuzz_both(target: Target, requests: int, seed: int, memory: Any) -> dict[str, Any]:
    """Sends malformed requests over both protocols in turn, and summarises the answers.

    Memory is compared from the middle on, when the pools of malloc are filled.
    """
    rest = RestFuzzer(target)
    fuzzers: list[Fuzzer] = [GrpcFuzzer(target), rest]
    rounds = -(-requests // (ROUND * sum(len(fuzzer.kinds) for fuzzer in fuzzers)))
    tally = Tally()
    held: list[float] = []
    for number in range(rounds):
        for fuzzer in fuzzers:
            for kind in fuzzer.kinds:
                fuzz(fuzzer, kind, ROUND, seed + number, tally)
        if number % OVERSIZED == 0:
            verdict = rest.send("oversized", oversized(target))
            tally.statuses[verdict.status] += 1
            if verdict.wrong:
                tally.wrong["oversized"] = verdict.wrong
        held.append(memory())
    figures = {
        "requests": tally.statuses.total(),
        "statuses": dict(tally.statuses.most_common()),
        "kinds": dict(tally.kinds.most_common()),
        "wrong": tally.wrong,
        "valid_requests_after": "; ".join(filter(None, (f.wrong_answer() for f in fuzzers)))
        or "right",
        "memory_before_mebibytes": held[(rounds - 1) // 2],
        "memory_after_mebibytes": held[-1],
        "mebibytes": held,
    }
    for fuzzer in fuzzers:
        fuzzer.close()
    return figures


@click.command(context_settings=HELP)
@click.option("--requests", default=2000, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=1, show_default=True)
@json_option
def main(requests: int, seed: int, file: Path | None) -> None:
    """Send about so many malformed requests to a server, over gRPC and REST.

    Each must be refused with a status of a client's error, or where it is valid by chance, get the
    answer of the model in this process. A wrong answer is shown with the smallest such request.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, NAME)
        save_model(folder / "1")
        loaded = tf.saved_model.load(str(folder / "1"))

        def oracle(signature: str, inputs: Arrays) -> Arrays:
            given = loaded.signatures[signature](**{n: tf.constant(a) for n, a in inputs.items()})
            return {name: value.numpy() for name, value in given.items()}

        good: dict[str, Arrays] = {
            "serving_default": {
                "words": np.array([b"one", b"two"], object),
                "numbers": np.array([[0.5, 1, 2], [3, 4, 5]], np.float32),
                "ids": np.array([[1, 2], [3, 4]], np.int64),
            },
            "halve": {"x": np.array([[1, 2.5]], np.float32)},
        }
        with model_server(folder, NAME, Path(temporary, "log"), ours=True) as running:
            grpc_address = running.grpc.removeprefix("grpc://")
            target = Target(NAME, grpc_address, running.rest, good, oracle)
            figures = fuzz_both(target, requests, seed, lambda: mebibytes(running))
        figures["log_bytes"] = Path(temporary, "log").stat().st_size
        figures["log_end"] = Path(temporary, "log").read_text()[-3000:]
    console = wide_console()
    for key, value in figures.items():
        console.print(f"{key}: {value}", highlight=False, markup=False)
    write_figures(file, figures)
    if figures["wrong"] or figures["valid_requests_after"] != "right":
        sys.exit(1)


if __name__ == "__main__":
    main()
