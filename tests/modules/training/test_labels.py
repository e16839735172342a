"""How training scales numbers, and what it says of labels that are far from 0 and 1."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.spec import NumberLabel, Specification
from tfx_fusion.modules.training.data import Epochs
from tfx_fusion.modules.training.labels import _warn, prepare_labels, scaling

RANDOM = np.random.default_rng(8)
PRICES = (13 + 2 * RANDOM.normal(size=400)).astype("float32")


def specify(loss: str = "mean_squared_error", **label: Any) -> Specification:
    last = {"units": 1, "activation": "softplus"}
    return Specification.model_validate(
        {
            "name": "prices",
            "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": {"x": {"type": "number", "column": "x"}},
            "labels": {"price": {"type": "number", "column": "price", **label}},
            "graph": {"y": {"layers": [{"Dense": last}], "inputs": "x"}},
            "outputs": {"price": {"from": "y", "loss": loss}},
            "training": {"stages": [{"name": "a", "epochs": 1, "learning_rate": 0.1}]},
            "publish": {"path": Path("serving")},
        }
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
