"""How training scales numbers, and what it says of labels that are far from 0 and 1."""

from __future__ import annotations

import logging
from typing import Any

import keras
import numpy as np
import pytest
from memory_rows import MemoryRows, new_model, train_in_memory
from memory_rows import specify as specify_in_memory
from specs import specification_of

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.spec import NumberLabel, Specification
from tfx_fusion.modules.training.data import Epochs, training_rows
from tfx_fusion.modules.training.labels import _warn, prepare_labels, scaling

RANDOM = np.random.default_rng(8)
PRICES = (13 + 2 * RANDOM.normal(size=400)).astype("float32")


def specify(loss: str = "mean_squared_error", **label: Any) -> Specification:
    last = {"units": 1, "activation": "softplus"}
    return specification_of(
        features={"x": {"type": "number", "column": "x"}},
        labels={"price": {"type": "number", "column": "price", **label}},
        graph={"y": {"layers": [{"Dense": last}], "inputs": "x"}},
        outputs={"price": {"from": "y", "loss": loss}},
    )


def prepared(specification: Specification, values: np.ndarray) -> Any:
    _warn.cache_clear()
    fused = build(specification, {}, open_interface)
    prepare_labels(specification, fused, Epochs(lambda epoch: None, 1, lambda name: values))
    return fused


@pytest.mark.parametrize(
    ("normalize", "shift", "scale"),
    [
        ("standard", PRICES.mean(dtype=float), PRICES.std(dtype=float)),
        ("min_max", PRICES.min(), PRICES.max() - PRICES.min()),
    ],
)
def test_a_normalized_label_is_scaled_by_the_rows_to_train_on(
    normalize: str, shift: float, scale: float
) -> None:
    units = prepared(specify(normalize=normalize), PRICES).units["price"]

    assert float(units.shift.value) == pytest.approx(shift, rel=1e-6)
    assert float(units.scale.value) == pytest.approx(scale, rel=1e-6)
    scaled = np.asarray(units.scaled(PRICES[:, None]))
    np.testing.assert_allclose(np.asarray(units(scaled))[:, 0], PRICES, rtol=1e-5)


def test_a_constant_label_is_shifted_only() -> None:
    label = NumberLabel(type="number", column="a", normalize="standard")

    assert scaling(label, np.full(7, 0.1, "float32")) == (pytest.approx(0.1), 1.0)


def test_a_large_mean_keeps_its_digits() -> None:
    label = NumberLabel(type="number", column="a", normalize="standard")
    values = (1e6 + RANDOM.normal(size=5000) * 10).astype("float32")

    _, scale = scaling(label, values)

    assert scale == pytest.approx(np.std(values.astype(float)), rel=1e-9)


@pytest.mark.parametrize(
    ("values", "warns"),
    [
        (PRICES, True),
        (PRICES - 13, False),
        ((PRICES - 13) * 100, True),
        ((PRICES - 13) / 100, True),
        (np.full(9, 4.0), True),
    ],
    ids=["far mean", "near", "large deviation", "small deviation", "constant"],
)
def test_a_number_far_from_0_and_1_is_warned_of(
    values: np.ndarray, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fusion.training"):
        prepared(specify(), values)

    assert any(text.startswith("labels.price: ") for text in caplog.messages) == warns


def test_the_warning_names_the_key_to_write_and_comes_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "fusion.training"):
        prepared(specify(), PRICES)
        fused = build(specify(), {}, open_interface)
        prepare_labels(specify(), fused, Epochs(lambda epoch: None, 1, lambda name: PRICES))

    [message] = caplog.messages
    assert "the mean is 1" in message
    assert message.endswith("write normalize: standard")


def test_a_normalized_label_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fusion.training"):
        prepared(specify(normalize="standard"), PRICES)

    assert caplog.messages == []


def test_poisson_needs_labels_from_0() -> None:
    with pytest.raises(RunError) as caught:
        prepared(specify(loss="poisson"), np.array([3.0, -1.0]))

    assert str(caught.value) == (
        "outputs.price.loss: poisson needs labels of at least 0, found -1 in the rows to train "
        "on: take another loss"
    )


def test_training_is_plain_keras_on_scaled_labels_with_row_weights() -> None:
    given = specify_in_memory(
        {"size": {"loss": "mean_squared_error", "metrics": ["r2", "mean_absolute_error"]}},
        {"size": {"type": "number", "normalize": "standard", "row_weights": "w"}},
        batch_size=8,
        stages=[{"name": "a", "epochs": 3, "learning_rate": 0.1, "optimizer": "SGD"}],
    )
    x = RANDOM.normal(size=(40, 3)).astype("float32")
    size = (13 + x @ [[2.0], [-1.0], [0.5]] + RANDOM.normal(size=(40, 1))).astype("float32")
    weights = RANDOM.integers(0, 4, 40).astype("float32")
    train_rows = {"x": x[:30], "size": size[:30], "size.weights": weights[:30]}
    eval_rows = {"x": x[30:], "size": size[30:], "size.weights": weights[30:]}
    fused = new_model(given)
    first = [np.array(w) for w in fused.layers["of_size"][0].weights]

    record = train_in_memory(given, fused, {"train": train_rows, "eval": eval_rows})

    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    plain.layers[0].set_weights(first)
    plain.compile(keras.optimizers.SGD(0.1), loss="mean_squared_error")
    mean, deviation = size[:30].mean(), size[:30].std()
    epochs = training_rows(given, MemoryRows(train_rows), ["x"])
    for features, labels, weighing in epochs.batches(0).take(3 * epochs.steps):
        scaled = (labels["size"] - mean) / deviation
        plain.train_on_batch(features["x"], scaled, sample_weight=weighing["size"])
    by_hand = plain.predict(x[30:], verbose=0) * deviation + mean
    predicted = np.asarray(fused.model({"x": x[30:]})["size"])
    np.testing.assert_allclose(predicted, by_hand, rtol=1e-5)
    errors = by_hand - size[30:]
    last = record.kept_epoch
    assert last["val_mean_absolute_error"] == pytest.approx(np.abs(errors).mean(), rel=1e-4)
    explained = 1 - np.sum(errors**2) / np.sum((size[30:] - size[30:].mean()) ** 2)
    assert last["val_r2"] == pytest.approx(explained, abs=1e-4)
    # The loss is of scaled numbers, and of the evaluation rows without weights.
    assert last["val_loss"] == pytest.approx(np.mean((errors / deviation) ** 2), rel=1e-4)
