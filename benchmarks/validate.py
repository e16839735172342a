"""How long `fusion validate` takes on a graph of many sub-models whose interfaces are cached."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

SUBMODELS = 20
COMMAND = (str(Path(sys.executable).with_name("fusion")), "validate", "fusion.yaml")


@click.command(context_settings=HELP)
@click.option("--runs", default=7, show_default=True, help="How often it is measured.")
@json_option
def main(runs: int, file: Path | None) -> None:
    """Measure the wall time of `fusion validate` on a graph of 20 small sub-models.

    The first run, which reads the interfaces from the models, is measured separately.
    """
    console = wide_console()
    import_tensorflow_quietly()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        console.print(f"making {SUBMODELS} sub-models", highlight=False)
        make(folder)
        first = seconds(folder)
        found = [seconds(folder) for _ in range(runs)]
    median = statistics.median(found)
    console.print(
        side_by_side(
            f"seconds of fusion validate on {SUBMODELS} sub-models, {runs} runs",
            ("interfaces", "median", "least", "most"),
            [("read from the models", first, first, first),
             ("cached", median, min(found), max(found))],
        )
    )  # fmt: skip
    figures = {
        "seconds_validate_20_submodels": median,
        "seconds_reading_interfaces": first,
        "runs": found,
    }
    write_figures(file, figures)


def seconds(folder: Path) -> float:
    """The wall time of the command, from start to exit."""
    started = time.perf_counter()
    done = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True)
    took = time.perf_counter() - started
    if done.returncode:
        raise click.ClickException(f"fusion validate failed:\n{done.stdout}{done.stderr}")
    return took


def make(folder: Path) -> None:
    """Twenty sub-models that feed one another in pairs, all joined before a head."""
    import keras

    entry = keras.Input((16,), name="numbers")
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")(entry)
    dropped = keras.layers.Dropout(0.2, name="drop")(hidden)
    features = keras.layers.Dense(16, activation="relu", name="features")(dropped)
    model = keras.Model(entry, features)
    names = [f"model_{number}" for number in range(SUBMODELS)]
    submodels: dict[str, Any] = {}
    for number, name in enumerate(names):
        model.save(folder / f"{name}.keras")
        source = names[number - 1] if number % 2 else "numbers"
        submodels[name] = {"path": f"{name}.keras", "inputs": {"numbers": source}}
    specification = {
        "name": "many",
        "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.8, "eval": 0.2}},
        "features": {"numbers": {"type": "raw", "column": "numbers", "shape": [16],
                                 "dtype": "float32"}},
        "labels": {"answer": {"type": "number", "column": "answer"}},
        "submodels": submodels,
        "graph": {
            "joined": {"merge": "concatenate", "inputs": names},
            "hidden": {"layers": [{"Dense": {"units": 64, "activation": "relu"}}],
                       "inputs": "joined"},
            "answer": {"layers": [{"Dense": {"units": 1}}], "inputs": "hidden"},
        },
        "outputs": {"answer": {"from": "answer", "loss": "mean_squared_error"}},
        "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 1e-3}]},
        "publish": {"path": "serving"},
    }  # fmt: skip
    (folder / "fusion.yaml").write_text(json.dumps(specification, indent=1))  # JSON is YAML


if __name__ == "__main__":
    main()
