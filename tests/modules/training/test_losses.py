"""Losses and metrics by name: on class indices they give what Keras gives on one-hot labels."""

from __future__ import annotations

from typing import Any, get_args

import keras
import numpy as np
import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.specification import Metric
from tfx_fusion.modules.training.losses import LOSSES, compile_arguments, is_binary, new_metric
from tfx_fusion.modules.validation.names import check_names

CLASSES = 4
RANDOM = np.random.default_rng(9)
INDICES = RANDOM.integers(CLASSES, size=40)
ONE_HOT = np.eye(CLASSES, dtype="float32")[INDICES]
PROBABILITIES = RANDOM.dirichlet(np.ones(CLASSES), size=40).astype("float32")

YES_NO = RANDOM.integers(2, size=40)
CHANCES = RANDOM.uniform(0.01, 0.99, size=(40, 1)).astype("float32")

SEVERAL = RANDOM.integers(2, size=(40, CLASSES)).astype("float32")
SEVERAL[:5] = 0  # rows without any class
ALONE = RANDOM.uniform(0.01, 0.99, size=(40, CLASSES)).astype("float32")

NUMBERS = RANDOM.normal(size=(40, 1)).astype("float32")
GUESSES = RANDOM.normal(size=(40, 1)).astype("float32")


def measured(
    name: str,
    labels: np.ndarray,
    predictions: np.ndarray,
    binary: bool = False,
    classes: int | None = None,
) -> float:
    metric = new_metric(name, binary, classes)
    # In two batches, as in training.
    metric.update_state(labels[:25], predictions[:25])
    metric.update_state(labels[25:], predictions[25:])
    return float(metric.result())


def specify(**outputs: dict[str, Any]) -> Specification:
    labels = {
        "kind": {"type": "category", "column": "kind", "classes": ["a", "b", "c", "d"]},
        "certain": {"type": "category", "column": "certain", "classes": ["no", "yes"]},
        "tags": {"type": "multi_label", "column": "tags", "classes": ["a", "b", "c", "d"]},
        "size": {"type": "number", "column": "size"},
    }
    return Specification.model_validate(
        {
            "name": "losses",
            "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": {"x": {"type": "number", "column": "x"}},
            "labels": {name: labels[name] for name in outputs},
            "outputs": {name: {"from": "x", **output} for name, output in outputs.items()},
            "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 0.1}]},
            "publish": {"path": "serving"},
        }
    )


def refusals(specification: Specification) -> list[str]:
    try:
        check_names(specification)
    except SpecificationError as error:
        return error.problems
    return []


KIND = {"loss": "categorical_crossentropy"}
CERTAIN = {"loss": "binary_crossentropy"}
TAGS = {"loss": "binary_crossentropy"}
SIZE = {"loss": "huber"}


# ------------------------------------------------------------------------------------- losses


def test_the_crossentropy_of_indices_is_that_of_one_hot_labels() -> None:
    given = LOSSES["categorical_crossentropy"]()(INDICES, PROBABILITIES)

    wanted = keras.losses.CategoricalCrossentropy()(ONE_HOT, PROBABILITIES)
    by_hand = -np.mean(np.log(PROBABILITIES[np.arange(40), INDICES]))
    assert float(given) == pytest.approx(float(wanted), rel=1e-5)
    assert float(given) == pytest.approx(by_hand, rel=1e-5)


def test_the_binary_crossentropy_takes_indices_without_a_second_axis() -> None:
    given = LOSSES["binary_crossentropy"]()(YES_NO, CHANCES)

    chance = CHANCES[:, 0]
    by_hand = -np.mean(np.where(YES_NO == 1, np.log(chance), np.log(1 - chance)))
    assert float(given) == pytest.approx(by_hand, rel=1e-4)


def test_the_binary_crossentropy_of_several_classes_is_the_mean_of_theirs() -> None:
    given = LOSSES["binary_crossentropy"]()(SEVERAL, ALONE)

    by_hand = -np.mean(np.where(SEVERAL == 1, np.log(ALONE), np.log(1 - ALONE)))
    assert float(given) == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("mean_squared_error", np.mean((NUMBERS - GUESSES) ** 2)),
        ("mean_absolute_error", np.mean(np.abs(NUMBERS - GUESSES))),
        (
            "huber",
            np.mean(
                np.where(
                    np.abs(NUMBERS - GUESSES) <= 1,
                    0.5 * (NUMBERS - GUESSES) ** 2,
                    np.abs(NUMBERS - GUESSES) - 0.5,
                )
            ),
        ),
    ],
)
def test_the_losses_of_numbers_are_what_they_are_called(name: str, by_hand: float) -> None:
    assert float(LOSSES[name]()(NUMBERS, GUESSES)) == pytest.approx(by_hand, rel=1e-5)


# ------------------------------------------------------------------------------------ metrics


def test_the_accuracy_of_indices_is_that_of_one_hot_labels() -> None:
    oracle = keras.metrics.CategoricalAccuracy()
    oracle.update_state(ONE_HOT, PROBABILITIES)

    given = measured("accuracy", INDICES, PROBABILITIES)

    assert given == pytest.approx(float(oracle.result()))
    assert given == pytest.approx(np.mean(PROBABILITIES.argmax(axis=1) == INDICES))


def test_the_top_3_accuracy_of_indices_is_that_of_one_hot_labels() -> None:
    oracle = keras.metrics.TopKCategoricalAccuracy(3)
    oracle.update_state(ONE_HOT, PROBABILITIES)

    given = measured("top_3_accuracy", INDICES, PROBABILITIES)

    assert given == pytest.approx(float(oracle.result()))
    assert 0 < given < 1


def test_the_accuracy_of_a_binary_output_counts_from_one_half() -> None:
    given = measured("accuracy", YES_NO, CHANCES, binary=True)

    assert given == pytest.approx(np.mean((CHANCES[:, 0] > 0.5) == YES_NO))


def test_the_auc_of_a_binary_output_is_the_share_of_pairs_in_order() -> None:
    given = measured("auc", YES_NO, CHANCES, binary=True)

    of_yes, of_no = CHANCES[YES_NO == 1, 0], CHANCES[YES_NO == 0, 0]
    in_order = np.mean(of_yes[:, None] > of_no[None, :])
    # Keras counts at 200 thresholds.
    assert given == pytest.approx(in_order, abs=0.01)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("accuracy", np.mean((ALONE > 0.5) == SEVERAL)),
        ("precision", np.mean(SEVERAL[ALONE > 0.5])),
        ("recall", np.mean((ALONE > 0.5)[SEVERAL == 1])),
    ],
)
def test_of_several_classes_every_yes_or_no_counts_alike(name: str, by_hand: float) -> None:
    given = measured(name, SEVERAL, ALONE, binary=True, classes=CLASSES)

    assert given == pytest.approx(by_hand)


def test_the_auc_of_several_classes_is_the_mean_of_theirs() -> None:
    given = measured("auc", SEVERAL, ALONE, binary=True, classes=CLASSES)

    single = [measured("auc", SEVERAL[:, n], ALONE[:, n], binary=True) for n in range(CLASSES)]
    assert given == pytest.approx(np.mean(single), rel=1e-6)
    assert given != pytest.approx(measured("auc", SEVERAL, ALONE, binary=True), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("mean_squared_error", np.mean((NUMBERS - GUESSES) ** 2)),
        ("mean_absolute_error", np.mean(np.abs(NUMBERS - GUESSES))),
        ("root_mean_squared_error", np.sqrt(np.mean((NUMBERS - GUESSES) ** 2))),
    ],
)
def test_the_errors_of_numbers_are_what_they_are_called(name: str, by_hand: float) -> None:
    assert measured(name, NUMBERS, GUESSES) == pytest.approx(by_hand, rel=1e-5)


def test_a_metric_is_called_in_the_record_as_in_the_specification() -> None:
    for name in ("accuracy", "top_3_accuracy", "auc", "root_mean_squared_error"):
        assert new_metric(name, binary=False).name == name
    assert new_metric("accuracy", binary=True).name == "accuracy"


# ------------------------------------------------------------------------- a whole specification


def test_only_a_binary_crossentropy_makes_an_output_binary() -> None:
    specification = specify(kind=KIND, certain=CERTAIN, tags=TAGS, size=SIZE)

    assert {name: is_binary(specification, name) for name in specification.outputs} == {
        "kind": False, "certain": True, "tags": True, "size": False,
    }  # fmt: skip


def test_each_output_gets_its_own_loss_weight_and_metrics() -> None:
    arguments = compile_arguments(
        specify(
            kind={**KIND, "metrics": ["accuracy", "top_3_accuracy"]},
            certain={**CERTAIN, "metrics": ["accuracy", "auc"], "weight": 0.25},
            size={**SIZE, "weight": 3},
        )
    )

    assert {name: type(loss) for name, loss in arguments["loss"].items()} == {
        "kind": keras.losses.SparseCategoricalCrossentropy,
        "certain": keras.losses.BinaryCrossentropy,
        "size": keras.losses.Huber,
    }
    assert arguments["loss_weights"] == {"kind": 1.0, "certain": 0.25, "size": 3.0}
    assert {
        name: [type(metric) for metric in metrics] for name, metrics in arguments["metrics"].items()
    } == {
        "kind": [
            keras.metrics.SparseCategoricalAccuracy, keras.metrics.SparseTopKCategoricalAccuracy,
        ],
        "certain": [keras.metrics.BinaryAccuracy, keras.metrics.AUC],
        "size": [],
    }  # fmt: skip


@pytest.mark.parametrize("metric", get_args(Metric))
@pytest.mark.parametrize(
    ("name", "output", "units", "labels"),
    [
        ("kind", KIND, CLASSES, INDICES),
        ("certain", CERTAIN, 1, YES_NO),
        ("tags", TAGS, CLASSES, SEVERAL),
        ("size", SIZE, 1, NUMBERS),
    ],
    ids=["one of several classes", "binary", "several classes", "number"],
)
def test_a_metric_is_either_refused_by_the_check_or_can_be_measured(
    name: str, output: dict[str, Any], units: int, labels: np.ndarray, metric: str
) -> None:
    specification = specify(**{name: {**output, "metrics": [metric]}})
    problems = refusals(specification)
    if problems:
        assert problems[0].startswith(f"outputs.{name}.metrics: {metric} ")
        return

    entry = keras.Input((2,))
    model = keras.Model(entry, {name: keras.layers.Dense(units, activation="sigmoid")(entry)})
    model.compile("sgd", **compile_arguments(specification))
    found = model.evaluate(
        RANDOM.normal(size=(40, 2)), {name: labels}, batch_size=16, verbose=0, return_dict=True
    )

    assert np.isfinite(found[metric])


def test_metrics_are_fresh_for_each_stage() -> None:
    specification = specify(kind={**KIND, "metrics": ["accuracy"]})

    first, second = (compile_arguments(specification)["metrics"]["kind"][0] for _ in range(2))

    assert first is not second


def test_keras_weighs_the_losses_of_the_outputs_by_the_specification() -> None:
    arguments = compile_arguments(
        specify(kind={**KIND, "metrics": ["accuracy"]}, size={**SIZE, "weight": 3})
    )
    entry = keras.Input((2,))
    outputs = {
        "kind": keras.layers.Dense(CLASSES, activation="softmax")(entry),
        "size": keras.layers.Dense(1)(entry),
    }
    model = keras.Model(entry, outputs)
    model.compile("sgd", **arguments)
    rows = RANDOM.normal(size=(40, 2)).astype("float32")

    found = model.evaluate(
        rows, {"kind": INDICES, "size": NUMBERS}, batch_size=40, verbose=0, return_dict=True
    )

    predicted = model(rows)
    kind = float(keras.losses.CategoricalCrossentropy()(ONE_HOT, predicted["kind"]))
    size = float(keras.losses.Huber()(NUMBERS, predicted["size"]))
    assert found["loss"] == pytest.approx(kind + 3 * size, rel=1e-5)
    assert {"kind_accuracy", "kind_loss", "size_loss"} <= set(found)
