"""What the Evaluator measures is what Keras measures on the same predictions.

A model of three outputs is trained and exported, then TFMA reads its signatures as in a run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions

from modules.embedding.plan import plan_stages
from modules.evaluation.config import eval_config
from modules.fusion.build import build, open_interface
from modules.serving.published import PublishedModel
from modules.spec import Specification
from modules.trainer.checkpoint import Checkpoint
from modules.trainer.export import SPECIFICATION_FILE
from modules.trainer.run import fuse_and_train, last_epoch
from pipeline.results import missed_thresholds, overall_metrics

pytestmark = pytest.mark.component

TAGS = ["wide", "tall", "big", "never"]
REGIONS = ["north", "south"]
RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def make_rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(6)
    rows = []
    for number in range(120):
        width, height = random.uniform(0, 4, 2).round(3)
        noisy = [width > 2.5, height > 2 + random.normal(), width * height > 4, False]
        tags = [tag for tag, has in zip(TAGS, noisy, strict=True) if has]
        rows.append(
            {
                "id": number, "width": width, "height": height, "region": REGIONS[number % 2],
                "tags": " ; ".join(tags), "steep": "yes" if height > width else "no",
                "area": width * height,
            }
        )  # fmt: skip
    return rows


def specify(folder: Path) -> Specification:
    head = {"inputs": "size"}
    return Specification.model_validate(
        {
            "name": "several",
            "data": {
                "path": folder / "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5},
            },
            "features": {
                "size": {"type": "number", "columns": ["width", "height"]},
                "region": {"type": "category", "column": "region", "classes": REGIONS},
            },
            "labels": {
                "tags": {"type": "multi_label", "column": "tags", "classes": TAGS},
                "steep": {"type": "category", "column": "steep", "classes": ["no", "yes"]},
                "area": {"type": "number", "column": "area"},
            },
            "graph": {
                "tag_scores": {"layers": [{"Dense": {"units": 4}}], **head},
                "steepness": {"layers": [{"Dense": {"units": 1}}], **head},
                "surface": {"layers": [{"Dense": {"units": 1}}], **head},
            },
            "outputs": {
                "tags": {
                    "from": "tag_scores", "loss": "binary_crossentropy",
                    "metrics": ["accuracy", "auc", "precision", "recall"],
                },
                "steep": {
                    "from": "steepness", "loss": "binary_crossentropy",
                    "metrics": ["accuracy", "precision", "recall"], "class_weights": "balanced",
                },
                "area": {
                    "from": "surface", "loss": "mean_squared_error",
                    "metrics": ["mean_absolute_error"],
                },
            },
            "evaluation": {
                "slices": ["region"],
                "thresholds": {"tags": {"auc": {"min": 0.1}, "recall": {"min": 1.01}}},
            },
            "training": {
                "batch_size": 16, "stages": [{"name": "a", "epochs": 4, "learning_rate": 0.1}],
            },
            "publish": {"path": folder / "serving"},
        }
    )  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A trained model's folder, its record, and the tf.Examples to evaluate it on."""

    specification: Specification
    folder: Path
    examples: Path

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def serialized(self) -> tf.Tensor:
        return tf.constant([record.numpy() for record in tf.data.TFRecordDataset(self.examples)])

    def signature(self, name: str, **inputs: Any) -> dict[str, np.ndarray]:
        loaded = tf.saved_model.load(str(self.model))
        return {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, prepare_training: Callable) -> Exported:
    folder = tmp_path_factory.mktemp("several")
    rows = make_rows()
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    specification = specify(folder)
    inputs = prepare_training(specification)
    fuse_and_train(
        specification, {}, {}, {},
        transform_path=str(inputs.transform_graph / "transform_fn"),
        splits={split: str(path) for split, path in inputs.splits.items()},
        stages=plan_stages(specification, build(specification, {}, open_interface)),
        embeddings=[],
        model_path=folder / "model",
        record_path=folder / "record",
        checkpoint=Checkpoint(folder / "checkpoint"),
    )  # fmt: skip
    [examples] = inputs.splits["eval"].iterdir()
    return Exported(specification, folder, examples)


@pytest.fixture(scope="module")
def evaluate(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Runs TFMA as TFX's Evaluator does; gives the folder of its results."""

    def run(specification: Specification) -> Path:
        config = eval_config(specification)
        output = tmp_path_factory.mktemp("evaluation")
        tfma.run_model_analysis(
            eval_shared_model=tfma.default_eval_shared_model(
                str(exported.model), tags=["serve"], eval_config=config
            ),
            eval_config=config,
            data_location=str(exported.examples),
            output_path=str(output),
            pipeline_options=PipelineOptions([RUNNER]),
        )
        return output

    return run


@pytest.fixture(scope="module")
def results(exported: Exported, evaluate: Callable[..., Path]) -> Path:
    return evaluate(exported.specification)


def of_keras(labels: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    metrics = {
        "accuracy": keras.metrics.BinaryAccuracy(),
        "auc": keras.metrics.AUC(multi_label=True, num_labels=len(TAGS)),
        "precision": keras.metrics.Precision(),
        "recall": keras.metrics.Recall(),
    }
    for metric in metrics.values():
        metric.update_state(labels, chances)
    return {name: float(metric.result()) for name, metric in metrics.items()}


def true_tags() -> np.ndarray:
    return np.array(
        [[tag in row["tags"].split(" ; ") for tag in TAGS] for row in make_rows()[80:]], "float32"
    )


def without_count(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "example_count"}


def test_the_evaluator_measures_several_classes_as_keras_does(
    exported: Exported, results: Path
) -> None:
    chances = exported.signature("predict_examples", examples=exported.serialized())["tags"]
    wanted = of_keras(true_tags(), chances)
    assert 0.2 < wanted["recall"] < 1
    assert 0.5 < wanted["auc"] < 1

    measured = overall_metrics(results, exported.specification)

    assert without_count(measured["tags"]) == pytest.approx(wanted, abs=1e-6)
    assert measured["tags"]["example_count"] == 40
    assert set(measured["steep"]) == {"example_count", "accuracy", "precision", "recall"}
    assert set(measured["area"]) == {"example_count", "mean_absolute_error"}


def test_the_evaluator_measures_what_the_last_epoch_did(exported: Exported, results: Path) -> None:
    epoch = last_epoch(exported.folder / "record")

    measured = overall_metrics(results, exported.specification)

    for output, metrics in measured.items():
        for name, value in without_count(metrics).items():
            assert value == pytest.approx(epoch[f"val_{output}_{name}"], abs=1e-5), (output, name)


def test_slices_are_measured_as_keras_does(exported: Exported, results: Path) -> None:
    chances = exported.signature("predict_examples", examples=exported.serialized())["tags"]
    regions = np.array([row["region"] for row in make_rows()[80:]])

    found = {
        dict(key)["region"]: by_output["tags"][""]
        for key, by_output in tfma.load_eval_result(str(results)).slicing_metrics
        if key
    }

    assert set(found) == set(REGIONS)
    for region, metrics in found.items():
        measured = {name: value["doubleValue"] for name, value in metrics.items()}
        wanted = of_keras(true_tags()[regions == region], chances[regions == region])
        assert without_count(measured) == pytest.approx(wanted, abs=1e-6)


def test_thresholds_of_several_classes_are_kept_or_missed(
    exported: Exported, results: Path
) -> None:
    validation = tfma.load_validation_result(str(results))

    assert not validation.validation_ok
    failures = {
        (failure.metric_key.name, failure.metric_key.output_name)
        for part in validation.metric_validations_per_slice
        for failure in part.failures
    }
    assert failures == {("recall", "tags")}
    [missed] = missed_thresholds(
        overall_metrics(results, exported.specification), exported.specification
    )
    assert missed.startswith("tags.recall is 0.")


def test_several_classes_alone_are_measured_as_beside_other_outputs(
    exported: Exported, evaluate: Callable[..., Path], results: Path
) -> None:
    given = exported.specification
    alone = given.model_copy(update={"outputs": {"tags": given.outputs["tags"]}})

    measured = overall_metrics(evaluate(alone), alone)

    assert measured["tags"] == overall_metrics(results, given)["tags"]


# What is exported


def test_labels_come_out_as_the_loss_sees_them(exported: Exported) -> None:
    labels = exported.signature("transform_labels", examples=exported.serialized())["tags"]

    np.testing.assert_array_equal(labels, true_tags())
    assert labels.dtype == np.float32


def test_the_served_model_answers_a_probability_for_each_class_by_itself(
    exported: Exported,
) -> None:
    rows = make_rows()[80:]
    sizes = np.array([[row["width"], row["height"]] for row in rows], "float32")

    served = exported.signature("serving_default", size=tf.constant(sizes))

    weights = {v.name.split(":")[0]: v.numpy() for v in tf.saved_model.load(
        str(exported.model)).others}  # fmt: skip
    logits = sizes @ weights["tag_scores/kernel"] + weights["tag_scores/bias"]
    np.testing.assert_allclose(
        served["tags_probabilities"], 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-5
    )
    assert served["tags_classes"].tolist() == [[tag.encode() for tag in TAGS]] * 40
    assert set(served) == {
        "tags_probabilities", "tags_classes", "steep_probabilities", "steep_classes", "area",
    }  # fmt: skip


def test_a_published_model_tells_each_class_with_its_probability(exported: Exported) -> None:
    row = make_rows()[80]
    sizes = tf.constant([[row["width"], row["height"]]], tf.float32)

    [answer] = PublishedModel(exported.model).predict([("row 81", row)], exported.folder)

    served = exported.signature("serving_default", size=sizes)["tags_probabilities"][0]
    assert answer.outputs["tags"] == pytest.approx(dict(zip(TAGS, served, strict=True)))
    written = json.loads((exported.model / SPECIFICATION_FILE).read_text())
    assert written["labels"]["tags"]["separator"] == ";"
