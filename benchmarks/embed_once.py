"""Embedding once: what it saves over plain Keras and over live training, and what it costs."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.embed_world import EVAL_ROWS, Sizes
from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.run import OngoingRun, recorded, run_steps

ROOT = Path(__file__).resolve().parents[1]  # processes of their own run modules from here
COMPARED = ("keras fit", "live", "embed once", "lower bound")
GROWTH = (16, 4, 1)


@click.command(context_settings=HELP)
@click.option("--rows", default=4096, show_default=True, help="Rows to train on.")
@click.option("--pixels", default=128, show_default=True, help="To a side of the JPEG files.")
@click.option("--size", default=96, show_default=True, help="Pixels that the backbone takes.")
@click.option(
    "--backbone", default="MobileNetV2", show_default=True, help="From keras.applications."
)
@click.option("--batch-size", default=64, show_default=True)
@click.option(
    "--epochs", "counts", default=(10, 50), show_default=True, multiple=True,
    help="Report after so many epochs; the largest is trained. May be repeated.",
)  # fmt: skip
@click.option("--runs", is_flag=True, help="Also time two whole runs; the second has another head.")
@click.option(
    "--skip",
    multiple=True,
    type=click.Choice([*COMPARED, "growth"]),
    help="Skip a measurement. May be repeated.",
)
@json_option
def main(
    rows: int,
    pixels: int,
    size: int,
    backbone: str,
    batch_size: int,
    counts: tuple[int, ...],
    runs: bool,
    skip: tuple[str, ...],
    file: Path | None,
) -> None:
    """Train a head behind frozen models, in four ways, side by side.

    keras fit: plain Keras on the frozen fused model, images decoded beforehand and in memory.
    live: our trainer on raw data. embed once: EmbeddingGen, then our trainer on embeddings.
    lower bound: one predict of the frozen models, then plain Keras on arrays in memory.

    Times count from saved models and rows to a trained head, without the start of the process.
    """
    console = wide_console()
    sizes = Sizes(rows, pixels, size, backbone, batch_size, max(counts))
    with tempfile.TemporaryDirectory() as folder:
        chosen = [mode for mode in COMPARED if mode not in skip]
        world = prepare(Path(folder, "world"), sizes, console) if chosen else Path()
        modes = {mode: measure(mode, world, console) for mode in chosen}
        whole = whole_runs(Path(folder, "runs"), sizes, console) if runs else {}
        growth = {}
        for part in () if "growth" in skip else GROWTH:
            smaller = replace(sizes, rows=sizes.rows // part, epochs=1)
            place = prepare(Path(folder, f"part{part}"), smaller, console)
            growth[smaller.rows] = measure("embed", place, console)
    figures = {**summary(modes, growth, sizes, counts), **whole}
    if modes:
        console.print(table(figures, counts))
    if growth:
        console.print(growth_table(figures["growth"]))
    for name, value in figures.items():
        if name.startswith(("ratio", "max", "seconds")):
            console.print(f"{name} {value:.3g}", highlight=False)
    write_figures(file, figures)


def prepare(folder: Path, sizes: Sizes, console: Console) -> Path:
    """Makes models and rows, and runs the steps before training; returns a file of the folders."""
    folder.mkdir()
    console.print(f"making {sizes.rows:,} rows and {sizes.backbone}", highlight=False)
    specification = folder / "fusion.yaml"
    _python("-m", "benchmarks.embed_world", str(folder), sizes.arguments())
    world: dict[str, Any] = {"specification": str(specification), "work": str(folder)}

    def action(run: OngoingRun) -> None:
        run_steps(run, train=False)
        interfaces = run.prepared.interfaces.items()
        world["interfaces"] = {name: found.model_dump(mode="json") for name, found in interfaces}

    with Path(os.devnull).open("w") as nowhere:
        record = recorded(specification, Console(file=nowhere), action).record
    outputs = {step.name: step.outputs for step in record.steps}
    world["examples"] = outputs["Rows"]["examples"]
    world["transform_graph"] = outputs["Transform"]["transform_graph"]
    submodels = {name: outputs[f"Import-{name}"]["submodel"] for name in world["interfaces"]}
    world["submodels"] = submodels
    file = folder / "world.json"
    file.write_text(json.dumps(world))
    return file


def whole_runs(folder: Path, sizes: Sizes, console: Console) -> dict[str, float]:
    """Seconds of two whole `fusion run` processes; only the head has changed for the second."""
    folder.mkdir()
    _python("-m", "benchmarks.embed_world", str(folder), sizes.arguments())
    file = folder / "fusion.yaml"
    file.write_text(file.read_text().replace("embed_once: false", "embed_once: true"))
    seconds = []
    for units in (64, 48):
        console.print(f"measuring a whole run with {units} units", highlight=False)
        file.write_text(file.read_text().replace("units: 64", f"units: {units}"))
        started = time.monotonic()
        _python(str(Path(sys.executable).with_name("fusion")), "run", str(file))
        seconds.append(time.monotonic() - started)
    return {
        "seconds_first_run": seconds[0],
        "seconds_run_with_another_head": seconds[1],
        "ratio_another_head_over_first_run": seconds[1] / seconds[0],
    }


def measure(mode: str, world: Path, console: Console) -> dict[str, Any]:
    """The figures of a mode, which runs in a process of its own."""
    console.print(f"measuring {mode}", highlight=False)
    return json.loads(_python("-m", "benchmarks.embed_modes", mode, str(world)).splitlines()[-1])


def _python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise click.ClickException(done.stderr[-3000:])
    return done.stdout


def summary(
    modes: dict[str, Any], growth: dict[int, Any], sizes: Sizes, counts: tuple[int, ...]
) -> dict[str, Any]:
    """The figures and ratios."""
    figures: dict[str, Any] = {
        "rows": sizes.rows, "size": sizes.size, "backbone": sizes.backbone,
        "modes": {
            mode: {
                "peak_bytes": found["peak_bytes"],
                "seconds": {count: found["epochs"][count - 1] for count in counts},
            }
            for mode, found in modes.items()
        },
        "growth": {
            rows: {
                "seconds": found["embed_seconds"],
                "rows_per_second": (rows + EVAL_ROWS) / found["embed_seconds"],
                "peak_bytes": found["peak_bytes"],
            }
            for rows, found in growth.items()
        },
    }  # fmt: skip

    def ratio(name: str, over: str, under: str, count: int) -> None:
        if over in modes and under in modes:
            figures[name] = modes[over]["epochs"][count - 1] / modes[under]["epochs"][count - 1]

    for over, under in (
        ("keras fit", "embed once"), ("live", "embed once"), ("keras fit", "live"),
        ("embed once", "lower bound"),
    ):  # fmt: skip
        ratio(f"ratio_{over}_over_{under}".replace(" ", "_"), over, under, min(counts))
    for count in counts:
        ratio(f"ratio_keras_fit_over_embed_once_{count}_epochs", "keras fit", "embed once", count)
    if {"embed once", "lower bound"} <= modes.keys():
        plain = modes["lower bound"]
        figures["ratio_embed_cpu_over_predict_plus_decode"] = modes["embed once"][
            "embed_cpu_seconds"
        ] / (plain["predict_cpu_seconds"] + plain["decode_cpu_seconds"])
    if {"embed once", "live"} <= modes.keys():
        one, other = modes["embed once"], modes["live"]
        pairs = [(one["losses"], other["losses"]), *zip(one["head"], other["head"], strict=True)]
        figures["max_parity_difference"] = max(
            abs(a - b) for left, right in pairs for a, b in zip(left, right, strict=True)
        )
    return figures


def table(figures: dict[str, Any], counts: tuple[int, ...]) -> Table:
    """The modes side by side, with their times as multiples of embedding once."""
    columns = ["mode"]
    for count in counts:
        columns += [f"{count} epochs, s", "× embed once", "rows/s"]
    base = figures["modes"].get("embed once")
    rows = []
    for mode, found in figures["modes"].items():
        rows.append([mode])
        for count in counts:
            seconds = found["seconds"][count]
            multiple = seconds / base["seconds"][count] if base else ""
            rows[-1] += [seconds, multiple, figures["rows"] * count / seconds]
        rows[-1].append(found["peak_bytes"] / 2**20)
    title = f"{figures['rows']:,} rows, {figures['backbone']} at {figures['size']} px"
    return side_by_side(title, [*columns, "peak memory, MiB"], rows)


def growth_table(growth: dict[int, Any]) -> Table:
    """How the time and memory of EmbeddingGen grow with the rows."""
    return side_by_side(
        "EmbeddingGen only, by rows",
        ("rows", "s", "rows/s", "peak memory, MiB"),
        (
            (rows, found["seconds"], found["rows_per_second"], found["peak_bytes"] / 2**20)
            for rows, found in growth.items()
        ),
    )


if __name__ == "__main__":
    main()
