"""`fusion tune`: what it refuses before anything runs, and a search from end to end."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fusion_command import fusion

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import load_specification, read_tree
from tfx_fusion.pipeline.prepare import prepare
from tfx_fusion.pipeline.tune import _checker, _logged_objective

UNITS = "graph.hidden.layers.0.Dense.units"
RATE = "training.stages.0.learning_rate"
HEAD = "    - {name: head, epochs: 3, learning_rate: 1e-2}\n"
FINE = "    - {name: fine, epochs: 1, learning_rate: 1e-3, unfreeze: {vision: all}}\n"
BEFORE_TRAINING = {
    "Rows", "Statistics", "DataChecks", "Champion", "DataGate", "Import-vision", "Import-text",
    "Transform", "Embed",
}  # fmt: skip


def with_tuning(world: Path, search: str, *changes: tuple[str, str], objective: str = "") -> Path:
    file = world / "fusion.yaml"
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    chosen = f"  objective: {objective}\n" if objective else ""
    file.write_text(f"{text}tuning:\n  trials: 3\n{chosen}  search: {search}\n")
    return file


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("search", "changes", "message"),
    [
        (f"{{{UNITS}: [4, -1]}}", [], f"tuning.search: with {UNITS} = -1: graph.hidden.layers.0"),
        (f"{{{UNITS}s: [4, 8]}}", [], "unknown key: did you mean 'units'?"),
        ("{graph.scores.layers.0.Dense.units: [3, 4]}", [], "expected (3) for 3 classes"),
        (
            "{training.embed_once: [true, false]}",
            [],
            "tuning.search: training.embed_once changes what is embedded; search the head",
        ),
        (
            f"{{{UNITS}: [4, 8]}}",
            [("epochs: 3, learning_rate: 1e-2", "epochs: 3, learning_rate: 1e-2, unfreeze: "
              "{vision: all}")],
            "tuning: expected a first stage that trains on embeddings, found embeddings of "
            "text.features; vision computed in every epoch; image decoded on the fly",
        ),
        (
            "{training.stages.1.learning_rate: [0.1, 0.2]}",
            [(HEAD, f"{HEAD}{FINE}")],
            "tuning.search.training.stages.1.learning_rate: trials do not reach the stage 'fine': "
            "they end before the first stage that needs sub-models (embeddings of text.features",
        ),
    ],
    ids=["value", "key", "shape", "embeddings", "live", "later stage"],
)  # fmt: skip
def test_invalid_searches_are_refused_before_anything_runs(
    search: str, changes: list[tuple[str, str]], message: str, world: Path
) -> None:
    file = with_tuning(world, search, *changes)
    prepared = prepare(file, lambda _: None)
    tuning = prepared.specification.tuning
    assert tuning is not None
    with pytest.raises(SpecificationError) as caught:
        _checker(prepared, tuning, file, read_tree(file))
    assert message in str(caught.value)


def test_values_of_several_keys_are_checked_together(world: Path) -> None:
    file = with_tuning(world, f"{{{UNITS}: [4, 8], {RATE}: {{min: 1e-3, max: 0.1}}}}")
    prepared = prepare(file, lambda _: None)
    assert prepared.specification.tuning is not None
    checked = _checker(prepared, prepared.specification.tuning, file, read_tree(file))

    found = checked({UNITS: 4, RATE: 0.02})
    assert found.graph["hidden"].layers[0]["Dense"]["units"] == 4
    assert found.training.stages[0].learning_rate == 0.02
    with pytest.raises(SpecificationError, match=rf"^tuning.search: with {UNITS} = 0, {RATE} = 1"):
        checked({UNITS: 0, RATE: 1})


@pytest.mark.parametrize(
    ("objective", "logged", "maximise"),
    [
        ("loss", "val_loss", False),
        ("colour.accuracy", "val_accuracy", True),
        ("colour.top_3_accuracy", None, True),
        ("color.accuracy", None, True),
    ],
)
def test_an_objective_is_a_measured_metric_and_has_a_direction(
    objective: str, logged: str | None, maximise: bool, world: Path
) -> None:
    file = with_tuning(world, f"{{{UNITS}: [4, 8]}}", objective=objective)
    specification = load_specification(file)
    assert specification.tuning is not None
    if logged is None:
        with pytest.raises(SpecificationError) as caught:
            _logged_objective(specification, specification.tuning)
        assert str(caught.value) == (
            f"tuning.objective: expected a loss or metric of an output, found '{objective}'; "
            "did you mean 'colour.accuracy'?"
        )
    else:
        assert _logged_objective(specification, specification.tuning) == (logged, maximise)


def test_errors_are_minimised_and_named_by_their_output_where_there_are_several(
    world: Path,
) -> None:
    output = "  colour: {from: scores, loss: categorical_crossentropy, metrics: [accuracy]}\n"
    label = "  colour: {type: category, column: colour, classes: [red, green, blue]}\n"
    size = "  size: {from: hidden, loss: huber, metrics: [mean_absolute_error]}\n"
    file = with_tuning(
        world,
        f"{{{UNITS}: [4, 8]}}",
        (label, f"{label}  size: {{type: number, column: id}}\n"),
        (output, f"{output}{size}"),
        objective="size.mean_absolute_error",
    )
    specification = load_specification(file)
    assert specification.tuning is not None
    assert _logged_objective(specification, specification.tuning) == (
        "val_size_mean_absolute_error",
        False,
    )


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ("", "'tuning' is missing: write what to search"),
        ("tuning: {search: {graph.hidden.layers.0.Dense.units: [4, 0]}}\n", f"with {UNITS} = 0: "),
        ("tuning: {search: {submodels.vision.output: [a, b]}}\n", "others change what is embedded"),
    ],
    ids=["no search", "invalid value", "unknown key"],
)
def test_an_invalid_search_exits_with_2_before_any_stage(
    tuning: str, message: str, world: Path
) -> None:
    with (world / "fusion.yaml").open("a") as stream:
        stream.write(tuning)
    done = fusion("tune", "fusion.yaml", folder=world)

    assert done.returncode == 2
    assert "the specification is invalid" in done.stderr
    assert message in done.stderr
    for record in world.glob("runs/*/run.json"):
        assert json.loads(record.read_text())["steps"] == []
    assert not list(world.glob("*.tuned.yaml"))


# ------------------------------------------------------------------------- a search and a run


@pytest.mark.end_to_end
def test_a_search_trains_heads_only_and_a_run_of_the_best_reuses_the_embeddings(
    world: Path,
) -> None:
    search = f"{{{RATE}: {{min: 1e-3, max: 0.1, scale: log}}, {UNITS}: [4, 8]}}"
    file = with_tuning(
        world, search, ("  seed: 7\n", "  seed: 7  # a lucky one\n"), objective="colour.accuracy"
    )
    before = file.read_text()

    done = fusion("tune", "fusion.yaml", folder=world)
    assert done.returncode == 0, done.stdout + done.stderr

    record = json.loads(next(world.glob("runs/*/run.json")).read_text())
    steps = {step["name"]: step for step in record["steps"]}
    assert set(steps) == BEFORE_TRAINING
    assert record["status"] == "tuned"
    assert steps["Embed"]["summary"]["text"] == "90 rows, 56 bytes each"
    lines = re.findall(r"^trial (\d)/3: colour\.accuracy ([\d.]+) in", done.stdout, re.MULTILINE)
    assert [number for number, _ in lines] == ["1", "2", "3"]

    table = next(world.glob("runs/*/trials.csv"))
    assert table.with_suffix(".svg").is_file()
    with table.open(newline="") as stream:
        trials = list(csv.DictReader(stream))
    assert list(trials[0]) == ["trial", RATE, UNITS, "colour.accuracy", "seconds", "error"]
    scores = [float(trial["colour.accuracy"]) for trial in trials]
    assert [f"{score:.4f}" for score in scores] == [score for _, score in lines]
    best = trials[scores.index(max(scores))]

    tuned = world / "fusion.tuned.yaml"
    assert f"best {tuned}" in done.stdout
    specification = load_specification(tuned)
    assert specification.training.stages[0].learning_rate == float(best[RATE])
    dense: Any = specification.graph["hidden"].layers[0]["Dense"]
    assert dense == {"units": int(best[UNITS]), "activation": "relu"}
    assert re.search(r"^  seed: 7 +# a lucky one$", tuned.read_text(), re.MULTILINE)
    assert file.read_text() == before

    ran = fusion("run", "fusion.tuned.yaml", folder=world)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = json.loads(max(world.glob("runs/*/run.json")).read_text())
    steps = {step["name"]: step for step in record["steps"]}
    assert {name for name, step in steps.items() if step["status"] == "reused"} == (BEFORE_TRAINING)
    assert steps["Embed"]["seconds_saved"] > 0
    assert re.search(r"^Embed: reused in [\d.]+ s, saves [\d.]+ s  90 rows", ran.stdout, re.M)
    assert Path(record["published"]).is_dir()
