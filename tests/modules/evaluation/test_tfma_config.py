"""What the Evaluator measures is what Keras measures on the same predictions.

A model of three outputs is trained and exported, then TFMA reads its signatures as in a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from sklearn.metrics import f1_score, mean_pinball_loss, r2_score

from tfx_fusion.modules.evaluation.quality import assess, judge, measured
from tfx_fusion.modules.metrics.table import larger_is_better
from tfx_fusion.modules.serving.published import PublishedModel
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.export import SPECIFICATION_FILE
from tfx_fusion.modules.training.record import read_record

pytestmark = pytest.mark.component

TAGS = ["wide", "tall", "big", "never"]
REGIONS = ["north", "south"]


@pytest.fixture(scope="module")
def results(exported: Any, evaluate: Callable[..., Path]) -> Path:
    return evaluate(exported.specification)


def of_keras(labels: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    metrics = {
        "accuracy": keras.metrics.BinaryAccuracy(),
        "auc": keras.metrics.AUC(multi_label=True, num_labels=len(TAGS)),
        "precision": keras.metrics.Precision(),
        "recall": keras.metrics.Recall(),
        "pr_auc": keras.metrics.AUC(curve="PR", multi_label=True, num_labels=len(TAGS)),
        "log_loss": keras.metrics.BinaryCrossentropy(),
        "recall_at_precision@0.8": keras.metrics.RecallAtPrecision(0.8),
    }
    for metric in metrics.values():
        metric.update_state(labels, chances)
    of_sklearn = {
        "f1@0.3": f1_score(labels, chances > 0.3, average="micro"),
        "macro_f1": f1_score(labels, chances > 0.5, average="macro", zero_division=0),
        "calibration_error": binned_gap(labels.reshape(-1), chances.reshape(-1)),
    }
    return {name: float(metric.result()) for name, metric in metrics.items()} | of_sklearn


def binned_gap(labels: np.ndarray, chances: np.ndarray) -> float:
    """The calibration error in 15 bins, by a loop over them."""
    inside = [(chances > n / 15) & (chances <= (n + 1) / 15) for n in range(15)]
    gaps = [abs(np.sum(chances[rows]) - np.sum(labels[rows])) for rows in inside]
    return float(np.sum(gaps) / len(labels))


def true_tags(exported: Any) -> np.ndarray:
    return np.array(
        [[tag in row["tags"].split(" ; ") for tag in TAGS] for row in exported.rows], "float32"
    )


def overall(results: Path, specification: Specification) -> dict[str, dict[str, float]]:
    return judge(specification, measured(results, specification), lambda where: {}).overall()


def without_count(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "example_count"}


def test_the_evaluator_measures_several_classes_as_keras_does(exported: Any, results: Path) -> None:
    chances = exported.signature("predict_examples", examples=exported.serialized())["tags"]
    wanted = of_keras(true_tags(exported), chances)
    assert 0.2 < wanted["recall"] < 1
    assert 0.5 < wanted["auc"] < 1

    found = overall(results, exported.specification)

    assert without_count(found["tags"]) == pytest.approx(wanted, abs=1e-6)
    assert found["tags"]["example_count"] == 40
    assert set(found["steep"]) == {"example_count", "accuracy", "precision", "recall"}
    areas = np.array([row["area"] for row in exported.rows])
    predicted = exported.signature("predict_examples", examples=exported.serialized())["area"]
    assert without_count(found["area"]) == pytest.approx(
        {
            "mean_absolute_error": np.mean(np.abs(areas - predicted[:, 0])),
            "r2": r2_score(areas, predicted[:, 0]),
            "quantile_loss@0.9": mean_pinball_loss(areas, predicted[:, 0], alpha=0.9),
        },
        abs=1e-5,
    )


def test_the_evaluator_measures_what_the_last_epoch_did(exported: Any, results: Path) -> None:
    epoch = read_record(exported.folder / "record").kept_epoch

    found = overall(results, exported.specification)

    for output, metrics in found.items():
        for name, value in without_count(metrics).items():
            assert value == pytest.approx(epoch[f"val_{output}_{name}"], abs=1e-5), (output, name)


def test_slices_are_measured_as_keras_does(exported: Any, results: Path) -> None:
    chances = exported.signature("predict_examples", examples=exported.serialized())["tags"]
    regions = np.array([row["region"] for row in exported.rows])

    found = {
        dict(key)["region"]: by_output["tags"][""]
        for key, by_output in tfma.load_eval_result(str(results)).slicing_metrics
        if key
    }

    assert set(found) == set(REGIONS)
    for region, metrics in found.items():
        measured = {name: value["doubleValue"] for name, value in metrics.items()}
        wanted = of_keras(true_tags(exported)[regions == region], chances[regions == region])
        assert without_count(measured) == pytest.approx(wanted, abs=1e-6)


def test_thresholds_of_several_classes_are_met_or_missed(exported: Any, results: Path) -> None:
    validation = tfma.load_validation_result(str(results))

    assert not validation.validation_ok
    failures = {
        (failure.metric_key.name, failure.metric_key.output_name)
        for part in validation.metric_validations_per_slice
        for failure in part.failures
    }
    assert failures == {("recall", "tags")}
    specification = exported.specification
    [missed] = judge(specification, measured(results, specification), lambda where: {}).missed
    assert missed.startswith("tags.recall is 0.")


def test_several_classes_as_the_only_output_are_measured_as_beside_other_outputs(
    exported: Any, evaluate: Callable[..., Path], results: Path
) -> None:
    given = exported.specification
    alone = given.model_copy(update={"outputs": {"tags": given.outputs["tags"]}})

    found = overall(evaluate(alone), alone)

    assert found["tags"] == overall(results, given)["tags"]


# What is exported


def test_labels_come_out_as_the_loss_sees_them(exported: Any) -> None:
    labels = exported.signature("transform_labels", examples=exported.serialized())["tags"]

    np.testing.assert_array_equal(labels, true_tags(exported))
    assert labels.dtype == np.float32


def test_the_served_model_answers_a_probability_for_each_class_by_itself(
    exported: Any,
) -> None:
    rows = exported.rows
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


def test_a_published_model_returns_each_class_with_its_probability(exported: Any) -> None:
    row = exported.rows[0]
    sizes = tf.constant([[row["width"], row["height"]]], tf.float32)

    [answer] = PublishedModel(exported.model).predict([("row 81", row)], exported.folder)

    served = exported.signature("serving_default", size=sizes)["tags_probabilities"][0]
    assert answer.outputs["tags"] == pytest.approx(dict(zip(TAGS, served, strict=True)))
    written = json.loads((exported.model / SPECIFICATION_FILE).read_text())
    assert written["labels"]["tags"]["separator"] == ";"


# Units of a normalized label


def test_every_signature_predicts_a_normalized_label_in_its_own_units(exported: Any) -> None:
    """The head is read from the file; the scale is that of the rows to train on, by NumPy."""
    loaded = tf.saved_model.load(str(exported.model))
    weights = {v.name.split(":")[0]: v.numpy() for v in loaded.others}
    areas = np.array([row["area"] for row in exported.training_rows], "float32")
    rows = exported.rows
    sizes = np.array([[row["width"], row["height"]] for row in rows], "float32")

    scaled = sizes @ weights["surface/kernel"] + weights["surface/bias"]
    wanted = scaled * areas.std() + areas.mean()

    examples = exported.signature("predict_examples", examples=exported.serialized())["area"]
    served = exported.signature("serving_default", size=tf.constant(sizes))["area"]
    [answer] = PublishedModel(exported.model).predict([("row 81", rows[0])], exported.folder)
    np.testing.assert_allclose(examples, wanted, atol=1e-4)
    np.testing.assert_allclose(served, wanted, atol=1e-4)
    assert answer.outputs["area"] == pytest.approx(wanted[0, 0], abs=1e-4)
    labels = exported.signature("transform_labels", examples=exported.serialized())["area"]
    np.testing.assert_allclose(labels[:, 0], [row["area"] for row in rows], rtol=1e-6)


def test_row_weights_stand_in_the_examples(exported: Any) -> None:
    records = [tf.train.Example.FromString(record) for record in exported.serialized().numpy()]

    found = [record.features.feature["area.weights"].float_list.value[0] for record in records]

    assert found == pytest.approx([row["height"] for row in exported.rows], rel=1e-6)


def test_lines_stand_beside_what_a_constant_prediction_reaches(
    exported: Any, results: Path
) -> None:
    quality = assess(exported.specification, results)

    found = {(line.output, line.metric): line.baseline for line in quality.lines if not line.slice}
    areas = np.array([row["area"] for row in exported.rows])
    median = np.mean(np.abs(areas - np.median(areas)))
    steep = np.mean([row["steep"] == "yes" for row in exported.rows])
    assert found["area", "mean_absolute_error"] == pytest.approx(median, rel=1e-5)
    assert found["area", "r2"] == pytest.approx(0, abs=1e-6)
    assert found["steep", "accuracy"] == pytest.approx(max(steep, 1 - steep))
    assert found["steep", "recall"] is None
    for line in quality.lines:
        if not line.slice and line.baseline is not None:
            better = line.value - line.baseline
            worse = not (better > 0 if larger_is_better(line.metric) else better < 0)
            named = f"{line.output}.{line.metric} is "
            assert any(text.startswith(named) for text in quality.warnings) == worse
