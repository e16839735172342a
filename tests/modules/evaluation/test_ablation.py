"""What a branch contributes is what NumPy and a specification written for it alone come to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from specs import Change, rewritten

from tfx_fusion.modules.embedding.columns import parse, read_contents
from tfx_fusion.modules.embedding.plan import StagePlan, plan_stages
from tfx_fusion.modules.evaluation.ablation import (
    Ablation,
    Comparison,
    read_ablation,
    with_ablation,
    write_ablation,
)
from tfx_fusion.modules.evaluation.measure_ablation import measure_ablation
from tfx_fusion.modules.evaluation.quality import Line, Quality
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.spec import Evaluation, Specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.run import fuse_and_train
from tfx_fusion.modules.training.stage_data import EmbeddedStore
from tfx_fusion.modules.training.trained_values import read_trained
from tfx_fusion.modules.tuning.trial import train_head

pytestmark = pytest.mark.component

# The row's number is a second label: its error shows what the accuracy of few rows would hide.
CHANGES = (
    ("labels:\n", "labels:\n  number: {type: number, column: id}\n"),
    ("  scores:", "  size: {layers: [Dense: {units: 1}], inputs: hidden}\n  scores:"),
    (
        "outputs:\n",
        "outputs:\n  number: {from: size, loss: mean_absolute_error, weight: 0.1, "
        "metrics: [mean_absolute_error]}\n",
    ),
    ("evaluation:\n", "evaluation:\n  confidence: 0.9\n  worth: {}\n"),
)
ONE_BRANCH = {
    "vision": (("  text: {path: models/text, inputs: {tokens: words}, output: features}\n", ""),
               ("  words: {type: text, column: transcript, vocabulary: models/words.txt, "
                "encoding: multi_hot}\n", "")),
    "text": (("  vision: {path: models/vision.keras, inputs: {image: image}, output: features}\n",
              ""), ("  image: {type: image, column: image_path, shape: [8, 8, 3]}\n", "")),
}  # fmt: skip
MERGE = "  joined: {merge: concatenate, inputs: [vision, text]}\n"


@dataclass
class Fused:
    """A trained fusion with all that it was trained on."""

    specification: Specification
    stages: list[StagePlan]
    embeddings: list[str]
    folder: Path

    def arguments(self, inputs: Any) -> dict[str, Any]:
        return {
            "transform_path": str(inputs.transform_graph / "transform_fn"),
            "splits": {split: str(path) for split, path in inputs.splits.items()},
            "stages": self.stages,
            "embeddings": self.embeddings,
        }


def interfaces_of(specification: Specification) -> dict[str, Any]:
    return {
        name: inspect_submodel(path).interface
        for name, (_, path) in specification.imported().items()
    }


def folders_of(specification: Specification, folder: Path) -> dict[str, Path]:
    from tfx_fusion.modules.submodels.inspection import copy_submodel

    found = {}
    for name, (_, path) in specification.imported().items():
        found[name] = folder / "imported" / name
        if not found[name].exists():
            copy_submodel(path, found[name])
    return found


@pytest.fixture(scope="module")
def place(shared_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation") / "world"
    shutil.copytree(shared_world, folder)
    return folder


@pytest.fixture(scope="module")
def specify(place: Path) -> Callable[..., Specification]:
    """The shared specification with a number for a second output, and further changes."""
    file = place / "fusion.yaml"
    text = file.read_text()

    def write(*changes: Change) -> Specification:
        file.write_text(text)
        return rewritten(file, *CHANGES, *changes)

    return write


@pytest.fixture(scope="module")
def inputs(specify: Callable[..., Specification], prepare_training: Callable) -> Any:
    return prepare_training(specify())


@pytest.fixture(scope="module")
def fuse(
    specify: Callable, inputs: Any, place: Path, embed: Callable, tmp_path_factory: Any
) -> Callable[..., Fused]:
    """Trains and exports a fusion, on embeddings where it may."""

    def run(specification: Specification, inputs: Any = inputs) -> Fused:
        folder = tmp_path_factory.mktemp("fused")
        interfaces = interfaces_of(specification)
        folders = folders_of(specification, place)
        stages = plan_stages(specification, build(specification, interfaces, open_interface))
        embeddings = embed(stages, interfaces, folders, inputs, folder)
        fused = Fused(specification, stages, embeddings, folder)
        fuse_and_train(
            specification, interfaces, folders, dict.fromkeys(interfaces, ""),
            model_path=folder / "model", record_path=folder / "record",
            checkpoint=Checkpoint(folder / "checkpoint"), **fused.arguments(inputs),
        )  # fmt: skip
        return fused

    return run


@pytest.fixture(scope="module")
def measure(inputs: Any, place: Path) -> Callable[[Fused], Ablation]:
    def run(fused: Fused, inputs: Any = inputs) -> Ablation:
        given = fused.specification
        return measure_ablation(
            given, interfaces_of(given), folders_of(given, place), model=fused.folder / "model",
            **fused.arguments(inputs),
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def fused(fuse: Callable, specify: Callable) -> Fused:
    return fuse(specify())


@pytest.fixture(scope="module")
def ablation(measure: Callable, fused: Fused) -> Ablation:
    return measure(fused)


def of(ablation: Ablation, output: str, branch: str) -> Comparison:
    return next(
        item for item in ablation.comparisons if (item.output, item.branch) == (output, branch)
    )


def columns_of(fused: Fused, split: str) -> dict[str, np.ndarray]:
    """The embedded rows of a split."""
    contents = read_contents(fused.embeddings[0])
    known = {column.name: column for column in contents.columns}
    files = sorted(str(file) for file in Path(fused.embeddings[0], f"Split-{split}").iterdir())
    records = [record.numpy() for record in tf.data.TFRecordDataset(files)]
    return {name: value.numpy() for name, value in parse(known, records).items()}


def head_by_hand(fused: Fused, vision: np.ndarray, text: np.ndarray) -> dict[str, np.ndarray]:
    """The trained head in NumPy: what each output's last layer gives."""
    stored = read_trained(fused.folder / "model")
    assert stored is not None
    value = {name: array for name, array in stored.values.items() if name.startswith("graph/")}

    def dense(node: str, given: np.ndarray) -> np.ndarray:
        return given @ value[f"graph/{node}/0/kernel"] + value[f"graph/{node}/0/bias"]

    hidden = np.maximum(dense("hidden", np.concatenate([vision, text], axis=1)), 0)
    return {"number": dense("size", hidden)[:, 0], "colour": dense("scores", hidden)}


# Leaving a branch out


@pytest.mark.parametrize("missing", ["nothing", "vision", "text"])
def test_a_branch_left_out_is_held_at_its_mean_over_the_training_rows(
    fused: Fused, ablation: Ablation, missing: str
) -> None:
    train, rows = columns_of(fused, "train"), columns_of(fused, "eval")
    given = {name: rows[f"{name}.features"] for name in ("vision", "text")}
    if missing in given:
        mean = train[f"{missing}.features"].mean(axis=0)
        given[missing] = np.broadcast_to(mean, given[missing].shape)
    found = head_by_hand(fused, **given)
    error = np.abs(found["number"] - rows["number"].ravel()).mean()
    accuracy = (found["colour"].argmax(axis=1) == rows["colour"].ravel()).mean()

    number, colour = (of(ablation, name, missing if missing in given else "text")
                      for name in ("number", "colour"))  # fmt: skip

    values = [(item.without if missing in given else item.fused) for item in (number, colour)]
    assert values == pytest.approx([error, accuracy], abs=1e-4)
    assert ablation.rows == len(rows["colour"])


def test_a_branch_that_may_be_missing_is_left_out_as_if_it_were(
    specify: Callable, fuse: Callable, measure: Callable, prepare_training: Callable
) -> None:
    given = specify(("shape: [8, 8, 3]}", "shape: [8, 8, 3], missing: {drop: 0.3}}"))
    inputs = prepare_training(given)
    fused = fuse(given, inputs)
    [file] = inputs.splits["eval"].iterdir()
    without = []
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        example.features.feature["image"].bytes_list.value[0] = b""
        example.features.feature["image.missing"].int64_list.value[0] = 1
        without.append(example.SerializeToString())
    loaded = tf.saved_model.load(str(fused.folder / "model"))
    predicted = loaded.signatures["predict_examples"](examples=tf.constant(without))["number"]
    numbers = loaded.signatures["transform_labels"](examples=tf.constant(without))["number"]

    found = measure(fused, inputs)

    error = np.abs(predicted.numpy().ravel() - numbers.numpy().ravel()).mean()
    assert of(found, "number", "vision").without == pytest.approx(error, abs=1e-4)


def test_leaving_a_branch_out_makes_a_difference(ablation: Ablation) -> None:
    assert of(ablation, "number", "text").without != of(ablation, "number", "text").fused
    assert of(ablation, "number", "text").without != of(ablation, "number", "vision").without


# A single branch


@pytest.mark.parametrize("branch", ["vision", "text"])
def test_a_single_branch_is_a_specification_of_it(
    specify: Callable, ablation: Ablation, prepare_training: Callable, place: Path, embed: Callable,
    branch: str, tmp_path: Path,
) -> None:  # fmt: skip
    single = specify((MERGE, ""), ("inputs: joined", f"inputs: {branch}"),
                     ("  worth: {}\n", ""), *ONE_BRANCH[branch])  # fmt: skip
    interfaces = interfaces_of(single)
    stages = plan_stages(single, build(single, interfaces, open_interface))
    inputs = prepare_training(single)
    folders = embed(stages, interfaces, folders_of(single, place), inputs, tmp_path)

    by_hand = train_head(single, interfaces, stages, EmbeddedStore(stages, folders))

    wanted = by_hand["val_number_mean_absolute_error"], by_hand["val_colour_accuracy"]
    found = of(ablation, "number", branch).single, of(ablation, "colour", branch).single
    # Relative too: the loss is a number near 74, where float32 has a spacing of 8e-6.
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-5)


def test_a_gain_is_how_much_better_the_fusion_is(ablation: Ablation) -> None:
    for item in ablation.comparisons:
        better = item.single - item.fused if item.output == "number" else item.fused - item.single
        assert item.gain == pytest.approx(better, abs=1e-6)
        assert item.gain_interval is not None
        assert item.gain_interval[0] <= item.gain <= item.gain_interval[1]


def test_measuring_again_finds_the_same(
    measure: Callable, fused: Fused, ablation: Ablation
) -> None:
    assert measure(fused) == ablation


@pytest.mark.parametrize(
    "change",
    [
        ("  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: joined}\n",
         "  pooled: {layers: [Reshape: {target_shape: [-1, 2]}, GlobalAveragePooling1D: {}], "
         "inputs: joined}\n  hidden: {layers: [Dense: {units: 8}], inputs: pooled}\n"),
        ("    - {name: head, epochs: 3, learning_rate: 1e-2}\n",
         "    - {name: head, epochs: 2, learning_rate: 1e-2}\n"
         "    - {name: tune, epochs: 1, learning_rate: 1e-2, unfreeze: {text: all}}\n"),
    ],
    ids=["embeddings behind the merge", "a fine-tuned branch"],
)  # fmt: skip
def test_the_fused_model_is_the_exported_one_whatever_it_learned_from(
    fuse: Callable, measure: Callable, specify: Callable, inputs: Any, change: tuple[str, str]
) -> None:
    given = fuse(specify(change))
    files = sorted(str(file) for file in inputs.splits["eval"].iterdir())
    records = tf.constant([record.numpy() for record in tf.data.TFRecordDataset(files)])
    loaded = tf.saved_model.load(str(given.folder / "model"))
    predicted = loaded.signatures["predict_examples"](examples=records)["number"].numpy()
    numbers = loaded.signatures["transform_labels"](examples=records)["number"].numpy()

    found = measure(given)

    error = np.abs(predicted.ravel() - numbers.ravel()).mean()
    assert of(found, "number", "vision").fused == pytest.approx(error, abs=1e-4)
    history = json.loads((given.folder / "record" / "history.json").read_text())
    last = history["stages"][-1]["epochs"][-1]["val_colour_accuracy"]
    assert of(found, "colour", "vision").fused == pytest.approx(last, abs=1e-6)
    assert {item.branch for item in found.comparisons} == {"vision", "text"}


# The margin


def compared(branch: str, gain: float) -> Comparison:
    return Comparison(
        output="colour", metric="accuracy", branch=branch, fused=0.9, single=0.9 - gain,
        without=0.5, gain=gain, gain_interval=(gain - 0.1, gain + 0.1),
    )  # fmt: skip


def judged(specification: Specification, margin: float | None) -> Quality:
    margins = {} if margin is None else {"colour": {"accuracy": margin}}
    given = specification.model_copy(
        update={"evaluation": Evaluation.model_validate({"worth": {"margin": margins}})}
    )
    ablation = Ablation(rows=30, comparisons=(compared("vision", 0.25), compared("text", 0.125)))
    whole = Line(output="colour", metric="accuracy", rows=30, value=0.9)
    return with_ablation(Quality(lines=(whole,), confidence=0.9), ablation, given)


def test_a_margin_is_over_the_best_branch(fused: Fused) -> None:
    met, missed = judged(fused.specification, 0.125), judged(fused.specification, 0.2)

    assert met.missed == ()
    assert missed.missed == (
        "colour.accuracy of the fusion is better by +0.1250 (90 % interval +0.0250 to +0.2250) "
        "than that of 'text' alone, at least 0.2 is needed",
    )
    bounds = [(line.of, bound.text, bound.met) for line in missed.lines for bound in line.bounds]
    assert bounds == [("over text alone", "≥ 0.2", False)]


def test_lines_of_the_ablation_need_no_margin(fused: Fused) -> None:
    found = judged(fused.specification, None)

    assert not found.is_bounded
    assert [(line.of, line.value) for line in found.lines] == [
        ("", 0.9),
        ("vision alone", 0.65), ("without vision", 0.5),
        ("text alone", 0.775), ("without text", 0.5),
        ("over text alone", 0.125),
    ]  # fmt: skip
    assert found.overall() == {"colour": {"example_count": 30, "accuracy": 0.9}}


def test_worth_that_is_written_is_read_again(ablation: Ablation, tmp_path: Path) -> None:
    write_ablation(ablation, tmp_path)

    assert read_ablation(tmp_path) == ablation
