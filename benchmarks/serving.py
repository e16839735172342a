"""Serving: a fused model against its parts, `fusion serve` against the model in this process."""

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import tensorflow as tf

from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from benchmarks.serving_chain import latencies
from benchmarks.serving_load import long_load, throughput, version_changes
from benchmarks.serving_models import FUSED, PARTS, rows, save_models
from tfx_fusion.modules.serving.check.process import TF_SERVING, model_server
from tfx_fusion.pipeline.consoles import wide_console


def measure(
    folder: Path, clients: int, each: float, rounds: int, requests: int, seconds: float
) -> dict[str, Any]:
    """All figures of the models saved in a folder."""
    inputs = rows()
    loaded = tf.saved_model.load(str(folder / FUSED / "1"))
    signature = loaded.signatures["serving_default"]
    with ExitStack() as stack:
        ours = stack.enter_context(model_server(folder / FUSED, FUSED, folder / "log", ours=True))
        with ExitStack() as parts:
            servers = {
                name: parts.enter_context(
                    model_server(folder / name, name, folder / f"{name}.log", ours=True)
                )
                for name in PARTS
            }
            chain = latencies({FUSED: ours, **servers}, inputs, requests)
        compared = [ours]
        if shutil.which(TF_SERVING):
            log = folder / "tf_serving.log"
            compared.append(stack.enter_context(model_server(folder / FUSED, FUSED, log)))
        concurrency = sorted({1, max(clients // 4, 1), clients})
        rates = throughput(compared, signature, inputs, concurrency, each, rounds)
        long = long_load(ours, inputs, clients, seconds)
        changes = version_changes(ours, folder / FUSED, inputs, clients)
    own = [row for row in rates if row["server"] == ours.kind]
    return {
        "ratio_fused_over_chained_p50": chain["ratio"],
        "ratio_server_over_in_process": min(r["ratio"] for r in own if r["clients"] == clients),
        "errors": sum(row["errors"] for row in own) + long["errors"],
        "memory_start_mebibytes": long["mebibytes"][0],
        "memory_end_mebibytes": long["mebibytes"][-1],
        "failed_under_version_change": changes["version_change"]["failed"],
        "failed_under_rollback": changes["rollback"]["failed"],
        "clients": clients, "chain": chain, "throughput": rates, "long_load": long, **changes,
    }  # fmt: skip


@click.command(context_settings=HELP)
@click.option("--clients", default=32, show_default=True)
@click.option("--size", default=96, show_default=True, help="Pixels to a side in the model.")
@click.option("--requests", default=200, show_default=True, help="Single rows, fused and chained.")
@click.option("--each", default=3.0, show_default=True, help="Seconds of a measure of throughput.")
@click.option("--rounds", default=2, show_default=True, help="Measures of throughput.")
@click.option("--seconds", default=12.0, show_default=True, help="How long the long load lasts.")
@json_option
def main(
    clients: int, size: int, requests: int, each: float, rounds: int, seconds: float,
    file: Path | None,
) -> None:  # fmt: skip
    """Compare a served fused model (MobileNetV2, a network over words, a head) with its parts.

    One call to it is compared with calls to its parts, each on a server of its own, whose
    embeddings the client forwards; then the rows a second of many clients with those of its
    signature called in this process, and with TF Serving where it is installed. The server's memory
    is watched under a long load, and versions are published and rolled back under it.
    """
    console = wide_console()
    with tempfile.TemporaryDirectory() as temporary:
        save_models(Path(temporary), size)
        figures = measure(Path(temporary), clients, each, rounds, requests, seconds)
    chain = figures["chain"]
    ways = {
        "one call to the fused model": "fused_p50_ms",
        "a call to each part": "chained_p50_ms",
        "both branches at once, then the head": "chained_branches_at_once_p50_ms",
    }
    console.print(
        side_by_side(
            f"a row, {requests} times", ("way", "median ms", "times the fused model"),
            ((way, chain[key], chain[key] / chain["fused_p50_ms"]) for way, key in ways.items()),
        )
    )  # fmt: skip
    rates = figures["throughput"]
    columns = [name.replace("_", " ") for name in rates[0]]
    console.print(side_by_side("rows a second", columns, (rate.values() for rate in rates)))
    changes = {name: figures[name] for name in ("version_change", "rollback")}
    console.print(
        side_by_side(
            "requests while versions change", ("change", "answered", "failed", "slowest ms"),
            ((name.replace("_", " "), change["answered"], change["failed"], change["slowest_ms"])
             for name, change in changes.items()),
        )
    )  # fmt: skip
    memory = [f"{value:,.0f}" for value in figures["long_load"]["mebibytes"]]
    console.print(f"memory under load, MiB: {', '.join(memory)}", highlight=False)
    console.print(f"errors under load: {figures['errors']}", highlight=False)
    write_figures(file, figures)


if __name__ == "__main__":
    main()
