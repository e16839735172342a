"""Losses by name: on class indices they give what Keras gives on one-hot labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from drawn_labels import (
    ALONE,
    CHANCES,
    CLASSES,
    GUESSES,
    INDICES,
    NUMBERS,
    ONE_HOT,
    PROBABILITIES,
    RANDOM,
    SEVERAL,
    WRITTEN,
    YES_NO,
)
from specs import check_names, specification_of

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.outputs import LabelUnits
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.losses import LOSSES, Loss
from tfx_fusion.modules.training.losses import (
    OF_ROW,
    compile_arguments,
    is_binary,
    new_loss,
)


def specify(**outputs: dict[str, Any]) -> Specification:
    labels = {
        "kind": {"type": "category", "column": "kind", "classes": ["a", "b", "c", "d"]},
        "certain": {"type": "category", "column": "certain", "classes": ["no", "yes"]},
        "tags": {"type": "multi_label", "column": "tags", "classes": ["a", "b", "c", "d"]},
        "size": {"type": "number", "column": "size"},
    }
    return specification_of(
        features={"x": {"type": "number", "column": "x"}},
        labels={name: labels[name] for name in outputs},
        outputs={name: {"from": "x", **output} for name, output in outputs.items()},
    )


def refusals(specification: Specification) -> list[str]:
    try:
        check_names(specification)
    except SpecificationError as error:
        return error.problems
    return []


def loss_of(name: str, **options: float) -> keras.losses.Loss:
    return new_loss(Loss(name=name, options=options))


KIND = {"loss": "categorical_crossentropy"}
CERTAIN = {"loss": "binary_crossentropy"}
TAGS = {"loss": "binary_crossentropy"}
SIZE = {"loss": "huber"}


def test_the_crossentropy_of_indices_is_that_of_one_hot_labels() -> None:
    given = loss_of("categorical_crossentropy")(INDICES, PROBABILITIES)

    wanted = keras.losses.CategoricalCrossentropy()(ONE_HOT, PROBABILITIES)
    by_hand = -np.mean(np.log(PROBABILITIES[np.arange(40), INDICES]))
    assert float(given) == pytest.approx(float(wanted), rel=1e-5)
    assert float(given) == pytest.approx(by_hand, rel=1e-5)


def test_the_binary_crossentropy_takes_indices_without_a_second_axis() -> None:
    given = loss_of("binary_crossentropy")(YES_NO, CHANCES)

    chance = CHANCES[:, 0]
    by_hand = -np.mean(np.where(YES_NO == 1, np.log(chance), np.log(1 - chance)))
    assert float(given) == pytest.approx(by_hand, rel=1e-4)


def test_the_binary_crossentropy_of_several_classes_is_the_mean_of_theirs() -> None:
    given = loss_of("binary_crossentropy")(SEVERAL, ALONE)

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
    assert float(loss_of(name)(NUMBERS, GUESSES)) == pytest.approx(by_hand, rel=1e-5)


SCORES = np.log(CHANCES) - np.log1p(-CHANCES)
ALONE_SCORES = np.log(ALONE) - np.log1p(-ALONE)
YES_NO_COLUMN = YES_NO[:, None].astype("float32")
COUNTS = RANDOM.poisson(3, size=(40, 1)).astype("float32")
RATES = RANDOM.uniform(0.5, 6, size=(40, 1)).astype("float32")


@pytest.mark.parametrize(
    ("name", "options", "labels", "predictions", "oracle", "shown"),
    [
        ("categorical_crossentropy", {"label_smoothing": 0.2}, INDICES, PROBABILITIES,
         keras.losses.CategoricalCrossentropy(label_smoothing=0.2), (ONE_HOT, PROBABILITIES)),
        ("categorical_focal_crossentropy", {}, INDICES, PROBABILITIES,
         keras.losses.CategoricalFocalCrossentropy(), (ONE_HOT, PROBABILITIES)),
        ("categorical_focal_crossentropy", {"gamma": 1.5, "alpha": 0.4, "label_smoothing": 0.1},
         INDICES, PROBABILITIES,
         keras.losses.CategoricalFocalCrossentropy(alpha=0.4, gamma=1.5, label_smoothing=0.1),
         (ONE_HOT, PROBABILITIES)),
        ("cosine_similarity", {}, INDICES, PROBABILITIES,
         keras.losses.CosineSimilarity(), (ONE_HOT, PROBABILITIES)),
        ("cosine_similarity", {}, SEVERAL, ALONE, keras.losses.CosineSimilarity(),
         (SEVERAL, ALONE)),
        ("binary_crossentropy", {"label_smoothing": 0.2}, YES_NO, CHANCES,
         keras.losses.BinaryCrossentropy(label_smoothing=0.2), (YES_NO_COLUMN, CHANCES)),
        ("binary_crossentropy", {"label_smoothing": 0.2}, SEVERAL, ALONE,
         keras.losses.BinaryCrossentropy(label_smoothing=0.2), (SEVERAL, ALONE)),
        ("binary_focal_crossentropy", {}, YES_NO, CHANCES,
         keras.losses.BinaryFocalCrossentropy(), (YES_NO_COLUMN, CHANCES)),
        ("binary_focal_crossentropy", {"gamma": 3, "alpha": 0.3}, SEVERAL, ALONE,
         keras.losses.BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.3, gamma=3),
         (SEVERAL, ALONE)),
        ("hinge", {}, YES_NO, CHANCES, keras.losses.Hinge(), (YES_NO_COLUMN, SCORES)),
        ("hinge", {}, SEVERAL, ALONE, keras.losses.Hinge(), (SEVERAL, ALONE_SCORES)),
        ("huber", {"delta": 0.3}, NUMBERS, GUESSES, keras.losses.Huber(delta=0.3),
         (NUMBERS, GUESSES)),
        ("poisson", {}, COUNTS, RATES, keras.losses.Poisson(), (COUNTS, RATES)),
    ],
)  # fmt: skip
def test_a_loss_is_keras_s(
    name: str,
    options: dict[str, float],
    labels: np.ndarray,
    predictions: np.ndarray,
    oracle: keras.losses.Loss,
    shown: tuple[np.ndarray, np.ndarray],
) -> None:
    weights = RANDOM.uniform(0, 2, size=40).astype("float32")

    given = loss_of(name, **options)

    assert float(given(labels, predictions)) == pytest.approx(float(oracle(*shown)), rel=1e-5)
    weighted = float(given(labels, predictions, sample_weight=weights))
    assert weighted == pytest.approx(float(oracle(*shown, sample_weight=weights)), rel=1e-5)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_quantile_loss_costs_low_and_high_predictions_apart(quantile: float) -> None:
    errors = NUMBERS - GUESSES
    by_hand = np.mean(np.where(errors > 0, quantile * errors, (quantile - 1) * errors))

    given = loss_of("quantile", quantile=quantile)(NUMBERS, GUESSES)

    assert float(given) == pytest.approx(by_hand, rel=1e-5)


def test_the_constant_of_the_least_quantile_loss_is_the_quantile() -> None:
    given = loss_of("quantile", quantile=0.9)
    grid = np.linspace(-2, 2, 401)

    costs = [float(given(NUMBERS, np.full_like(NUMBERS, guess))) for guess in grid]

    assert grid[np.argmin(costs)] == pytest.approx(np.quantile(NUMBERS, 0.9), abs=0.15)


@pytest.mark.parametrize("name", ["mean_squared_error", "huber", "quantile"])
def test_the_loss_of_a_normalized_label_is_that_of_scaled_numbers(name: str) -> None:
    options = {"quantile": 0.7} if name == "quantile" else {}
    units = LabelUnits(name="size.units")
    units.build((None, 1))
    units.shift.assign(13.0)
    units.scale.assign(2.5)

    given = new_loss(Loss(name=name, options=options), units)

    scaled = loss_of(name, **options)(NUMBERS, GUESSES)
    found = given(NUMBERS * 2.5 + 13, units(GUESSES))
    assert float(found) == pytest.approx(float(scaled), rel=1e-4)


def test_every_loss_of_the_table_can_be_computed() -> None:
    assert OF_ROW.keys() == LOSSES.keys()


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

    assert {name: loss.name for name, loss in arguments["loss"].items()} == {
        "kind": "categorical_crossentropy", "certain": "binary_crossentropy", "size": "huber",
    }  # fmt: skip
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


@pytest.mark.parametrize("metric", WRITTEN)
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
