"""Rows that nothing can be predicted of are left out of training on raw data, within the limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import RejectedRowsError
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.training.stage_data import (
    EmbeddedStore,
    StageDataSource,
    unpredictable_rows,
)

VALUES = np.arange(1, 31, dtype="float32")[:, None]


class Rows:
    """Rows of one number each."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = tf.constant(values)

    def tensors(self, numbers: Any) -> dict[str, Any]:
        names = tf.strings.join(["row ", tf.strings.as_string(numbers)])
        return {"x": tf.gather(self._values, numbers), "row_id": names, "y": names}

    def count(self) -> int:
        return len(self._values)


def logarithm() -> keras.Model:
    entry = keras.Input((1,), name="x")
    return keras.Model({"x": entry}, {"y": keras.ops.log(entry), "same": entry * 2})


def with_zeros(*places: int) -> np.ndarray:
    values = VALUES.copy()
    values[list(places)] = [[0.0], [-1.0]][: len(places)]
    return values


def test_rows_of_which_some_output_is_not_finite_are_found() -> None:
    rows: Any = Rows(with_zeros(7, 29))

    assert unpredictable_rows(logarithm(), rows, 8) == {7: "row 7", 29: "row 29"}


@pytest.fixture
def source(write_specification: Callable[..., Path]) -> Callable[..., StageDataSource]:
    def make(max_rejected: float) -> StageDataSource:
        given: Specification = load_specification(write_specification())
        data = given.data.model_copy(update={"max_rejected": max_rejected})
        specification = given.model_copy(update={"data": data})
        fused: Any = SimpleNamespace(model=logarithm())
        split: dict[str, Any] = {"train": Rows(with_zeros(7, 9)), "eval": Rows(VALUES)}
        return StageDataSource(specification, fused, [], EmbeddedStore([], []), split.__getitem__)

    return make


def test_they_are_left_out_within_the_limit(
    source: Callable[..., StageDataSource], caplog: pytest.LogCaptureFixture
) -> None:
    assert source(0.04)._unpredictable() == {"train": {7, 9}, "eval": set()}
    told = [record.message for record in caplog.records if record.name == "fusion.training"]
    assert told == [
        "2 of 60 rows have no finite prediction before training, first row 7: they are left out"
    ]


def test_more_than_the_limit_are_refused(source: Callable[..., StageDataSource]) -> None:
    with pytest.raises(RejectedRowsError, match=r"first row 7; data.max_rejected allows 3 %"):
        source(0.03)._unpredictable()
