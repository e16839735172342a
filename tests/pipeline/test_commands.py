"""The commands as a user meets them: what they print and how they exit, without a pipeline run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from fusion_command import fusion

from tfx_fusion import cli
from tfx_fusion.modules.errors import RunError
from tfx_fusion.pipeline.commands.schema import schema
from tfx_fusion.pipeline.prepare import check_writable

FUSION = Path(sys.executable).with_name("fusion")


def validate(folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process that has not imported Keras, which is to be imported on NumPy."""
    command = [str(FUSION), "validate", "fusion.yaml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def change(world: Path, old: str, new: str) -> None:
    file = world / "fusion.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_validate_prints_every_node_with_shape_and_parameter_counts(world: Path) -> None:
    done = validate(world)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "features (6) float32" in lines["vision"]
    # Conv2D 3·3·3·4+4, BatchNorm 4·4, Dense 4·6+6; the classifier behind the cut does not count.
    assert lines["vision"].endswith("158")
    assert "(10) float32" in lines["joined"]
    assert "88" in lines["hidden"]
    assert "27" in lines["scores"]
    assert lines["all"].split()[1:] == ["115", "201"]
    assert "fusion.yaml is valid" in done.stdout


def test_validate_imports_nothing_large_once_interfaces_are_known(world: Path) -> None:
    validate(world)
    code = (
        "import sys; sys.argv = ['fusion', 'validate', 'fusion.yaml']\n"
        "import atexit; atexit.register(lambda: print('imported:', sorted("
        "{'tensorflow', 'tfx', 'apache_beam', 'matplotlib'} & set(sys.modules))))\n"
        "from tfx_fusion.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=world, capture_output=True, text=True, check=True
    )
    assert "imported: []" in done.stdout
    assert "reading the sub-models" not in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 3", "epoch: 3", "training.stages.0.epoch: unknown key: did you mean 'epochs'?"),
        ("[vision, text]", "[vision, txt]", "nothing is named 'txt'; did you mean 'text'?"),
        ("units: 3}", "units: 4}", "outputs.colour.from: expected (3) for 3 classes, found (4)"),
        (
            "merge: concatenate",
            "merge: add",
            "graph.joined: add cannot join vision (6) float32, te",
        ),
        ("units: 8", "unit: 8", "graph.hidden.layers.0.Dense.unit: unknown key: did you mean 'un"),
        (
            "{image: image}",
            "{img: image}",
            "vision.inputs.img: the model has no such input; did you",
        ),
        ("[8, 8, 3]", "[9, 9, 3]", "expects (8, 8, 3) float32, 'image' is (9, 9, 3) float32"),
        (
            "column: colour",
            "column: color",
            "rows.csv has no column 'color'; did you mean 'colour'?",
        ),
        ("models/words", "models/wrds", "features.words.vocabulary: vocabulary"),
        ("models/vision.keras", "models/vison.keras", "vison.keras: no such file or folder"),
    ],
)
def test_an_invalid_specification_is_reported_with_its_key_and_exits_with_2(
    world: Path, old: str, new: str, message: str
) -> None:
    change(world, old, new)
    done = validate(world)
    assert done.stderr.startswith("the specification is invalid\n")
    assert message in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("command", ["validate", "run"])
def test_unrelated_mistakes_are_shown_at_once_each_with_its_line(world: Path, command: str) -> None:
    for old, new in (
        ("column: colour", "column: color"),
        ("[8, 8, 3]", "[9, 9, 3]"),
        ("inputs: hidden}", "inputs: hiden}"),
        ("batch_size: 16", "batch_size: many"),
        ("{accuracy: {min", "{recall: {min"),
        ("models/text,", "models/txt,"),
    ):
        change(world, old, new)

    done = validate(world) if command == "validate" else fusion("run", "fusion.yaml", folder=world)

    assert [line.strip() for line in done.stderr.splitlines()[1:]] == [
        f"fusion.yaml:9: labels.colour: {world / 'data/rows.csv'} has no column 'color'; did you "
        "mean 'colour'?",
        "fusion.yaml:11: submodels.vision.inputs.image: the model expects (8, 8, 3) float32, "
        "'image' is (9, 9, 3) float32",
        f"fusion.yaml:12: submodels.text.path: {world / 'models/txt'}: no such file or folder",
        "fusion.yaml:15: graph.hidden: nothing uses it; connect it or remove it",
        "fusion.yaml:16: graph.scores.inputs: nothing is named 'hiden'; did you mean 'hidden'?",
        "fusion.yaml:20: training.batch_size: expected a valid integer, found 'many'",
        "fusion.yaml:25: evaluation.thresholds.colour.recall: outputs.colour.metrics does not list "
        "it; add it there",
    ]
    assert done.returncode == 2


def test_a_submodel_with_nan_weights_is_refused_before_the_run(world: Path) -> None:
    import keras

    path = world / "models" / "vision.keras"
    model = keras.saving.load_model(path)
    kernel = model.get_layer("conv").kernel
    kernel.assign(kernel * float("nan"))
    model.save(path)
    done = fusion("run", "fusion.yaml", folder=world)
    assert "submodels.vision.path" in done.stderr
    assert "the weight 'conv/kernel' has 108 values that are NaN or infinite" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("place", "message"),
    [("publish: {path: serving}", "publish.path"), ("data/rows.csv", "no such data file")],
)
def test_a_run_that_cannot_start_says_so_and_exits_with_1(
    world: Path, place: str, message: str
) -> None:
    (world / "taken").write_text("a file where a folder should be")
    change(world, place, place.replace("serving", "taken/x").replace("rows", "none"))
    done = fusion("run", "fusion.yaml", folder=world)
    assert message in done.stderr
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout


def test_a_run_of_a_graph_that_does_not_fit_ends_before_any_step_with_2(world: Path) -> None:
    change(world, "units: 3}", "units: 4}")
    done = fusion("run", "fusion.yaml", folder=world)
    assert "outputs.colour.from: expected (3) for 3 classes, found (4)" in done.stderr
    assert done.returncode == 2
    [record] = world.glob("runs/*/run.json")
    assert json.loads(record.read_text())["steps"] == []


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_help_lists_every_command_whole_whatever_the_width(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = CliRunner().invoke(cli.fusion, ["--help"], terminal_width=int(columns)).stdout
    assert "..." not in shown.partition("Commands:")[2]
    listed = " ".join(shown.split())
    for name, place in cli.COMMANDS.items():
        assert f"{name} {place.help}" in listed


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(cli.fusion, [name, "--help"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith(f"Usage: fusion {name} ")


def test_help_imports_no_command_and_neither_rich_nor_pydantic() -> None:
    code = (
        "import sys; sys.argv = ['fusion', '--help']\n"
        "import atexit; atexit.register(lambda: print('imported:', sorted("
        "{'rich', 'pydantic', 'tensorflow', 'tfx_fusion.pipeline.commands'} & set(sys.modules))))\n"
        "from tfx_fusion.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "imported: []" in done.stdout


def test_an_unknown_command_is_an_error(tmp_path: Path) -> None:
    done = fusion("rum", folder=tmp_path)
    assert done.returncode == 2
    assert "No such command 'rum'" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("specification",)], ids=["default", "named"])
def test_the_schema_has_the_specifications_keys(arguments: tuple[str, ...]) -> None:
    printed = CliRunner().invoke(schema, arguments).stdout
    assert set(json.loads(printed)["properties"]) >= {"data", "features", "submodels", "graph"}


def test_the_schema_of_a_run_has_its_steps_and_their_summaries() -> None:
    printed = json.loads(CliRunner().invoke(schema, ["run"]).stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert set(printed["properties"]) >= {"steps", "metrics", "quality", "published", "error"}
    assert printed["$defs"]["TrainingSummary"]["properties"]["frozen_tensors"]["type"] == "integer"


def test_predict_refuses_a_folder_that_holds_no_model(world: Path) -> None:
    done = fusion("predict", "models", "data/rows.csv", folder=world)
    assert "expected version folders as TF Serving reads them, found none" in done.stderr
    assert done.returncode == 1


def test_a_folder_that_tensorflow_would_read_as_a_pattern_is_refused_by_its_path(
    world: Path,
) -> None:
    from tfx_fusion.modules.registry.versions import find_version

    folder = world.rename(world.with_name("st*r"))
    done = fusion("validate", "fusion.yaml", folder=folder)
    assert done.returncode == 2
    refused = "TensorFlow reads * in a path as a pattern: rename the folder"
    assert f"{folder / 'models' / 'text'}: {refused}" in done.stderr
    with pytest.raises(RunError, match=r"^the folder of the runs: .*: rename the folder"):
        check_writable(folder / "runs", "the folder of the runs")
    with pytest.raises(RunError, match=r"^the published model: .*: rename the folder"):
        find_version(folder / "serving")  # of predict, score and serve
