"""Rows that nothing can be learned from are left out, as if they had never been there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_rows import MemoryRows, new_model

from tfx_fusion.modules.data.rejected import Rejected
from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.losses import Loss
from tfx_fusion.modules.training.checkpoint import Checkpoint, State
from tfx_fusion.modules.training.losses import OF_ROW, new_loss
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.stage_data import EmbeddedStore, StageDataSource
from tfx_fusion.modules.training.train import train
from tfx_fusion.modules.training.unusable_rows import NOT_FINITE

STAGE = {"name": "one", "epochs": 2, "learning_rate": 0.01}
ROWS = {"train": 45, "eval": 15}
# By split, the places of rows that cannot be used, and what stands there.
BAD = {"train": {7: np.nan, 44: 3e38}, "eval": {0: np.inf}}


def specify(max_rejected: float = 0.05, **stage: float) -> Specification:
    """A class and a scaled number from three numbers, by a layer with state and one with chance."""
    outputs = {
        "y": {"from": "of_y", "loss": "binary_crossentropy"},
        "z": {"from": "of_z", "loss": "mean_squared_error", "weight": 0.5},
    }
    labels = {
        "y": {"type": "category", "column": "y", "classes": ["no", "yes"]},
        "z": {"type": "number", "column": "z", "normalize": "standard"},
    }
    hidden = [{"Dense": {"units": 4}}, "BatchNormalization", {"Dropout": {"rate": 0.5}}]
    one = [{"Dense": {"units": 1}}]
    return Specification.model_validate(
        {
            "name": "memory",
            "data": {
                "path": "rows.csv", "split": {"column": "split"}, "max_rejected": max_rejected,
            },
            "features": {"x": {"type": "raw", "column": "x", "dtype": "float32", "shape": [3]}},
            "labels": labels,
            "graph": {
                "hidden": {"layers": hidden, "inputs": "x"},
                "of_y": {"layers": one, "inputs": "hidden"},
                "of_z": {"layers": one, "inputs": "hidden"},
            },
            "outputs": outputs,
            "training": {"batch_size": 8, "stages": [{**STAGE, **stage}]},
            "publish": {"path": "serving"},
        }
    )  # fmt: skip


class NamedRows(MemoryRows):
    """Rows in memory with ids."""

    def row_ids(self, numbers: Any) -> list[str]:
        return [f"row {number}" for number in self.arrays["n"][np.asarray(numbers, int)]]


def splits(bad: dict[str, dict[int, float]], left_out: bool = False) -> dict[str, NamedRows]:
    draw = np.random.default_rng(5)
    found = {}
    for split, count in ROWS.items():
        x = draw.normal(size=(count, 3)).astype("float32")
        for place, value in bad[split].items():
            x[place, 1] = value
        arrays = {
            "x": x,
            "y": draw.integers(0, 2, (count, 1)),
            "z": draw.normal(40, 9, (count, 1)).astype("float32"),
            "n": np.arange(count),
        }
        gone = list(bad[split]) if left_out else []
        found[split] = NamedRows({name: np.delete(v, gone, axis=0) for name, v in arrays.items()})
    return found


class Run:
    """A training on rows in memory, through the source of a stage's data."""

    def __init__(
        self, specification: Specification, rows: dict[str, NamedRows], before: int = 0
    ) -> None:
        self.specification, self.fused = specification, new_model(specification)
        opened: Any = rows.__getitem__
        raw = [StagePlan(plan=None)]
        self.source = StageDataSource(
            specification, self.fused, raw, EmbeddedStore(raw, []), opened, rejected_before=before
        )

    def train(self, checkpoint: Checkpoint | None = None) -> TrainingRecord:
        data_of = self.source.of_stage
        return train(self.specification, {}, self.fused, data_of, checkpoint, search=self.source)

    @property
    def weights(self) -> list[np.ndarray]:
        return [np.array(variable) for variable in self.fused.model.variables]


@pytest.fixture(scope="module")
def without_them() -> tuple[TrainingRecord, list[np.ndarray]]:
    """What training comes to on data that never had the rows, and are not searched for them."""
    run = Run(specify(), splits(BAD, left_out=True))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(StageDataSource, "find_unusable", None)
        return run.train(), run.weights


def check_same(run: Run, record: TrainingRecord, wanted: tuple[TrainingRecord, list]) -> None:
    assert record.stages[0].epochs == wanted[0].stages[0].epochs
    for found, other in zip(run.weights, wanted[1], strict=True):
        np.testing.assert_array_equal(found, other)


def test_training_is_the_same_as_if_they_had_never_been_there(
    without_them: tuple[TrainingRecord, list[np.ndarray]], caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(specify(), splits(BAD))

    check_same(run, run.train(), without_them)

    assert run.source.rejected == {"train": {7, 44}, "eval": {0}}
    assert run.source.rejected_rows == [
        Rejected("row 7", "", NOT_FINITE), Rejected("row 44", "", NOT_FINITE),
        Rejected("row 0", "", NOT_FINITE),
    ]  # fmt: skip
    said = [record.message for record in caplog.records if record.name == "fusion.training"]
    assert said == [f"3 rows are left out, first row 7: {NOT_FINITE}"]


class Killed(BaseException):
    pass


def test_training_that_was_killed_resumes_without_them(
    without_them: tuple[TrainingRecord, list[np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save: Callable[..., None] = Checkpoint.save

    def save_and_die(self: Checkpoint, state: State) -> None:
        save(self, state)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            Run(specify(), splits(BAD)).train(Checkpoint(tmp_path))
    monkeypatch.setattr(StageDataSource, "find_unusable", None)
    run = Run(specify(), splits(BAD))

    check_same(run, run.train(Checkpoint(tmp_path)), without_them)
    assert run.source.rejected == {"train": {7, 44}, "eval": {0}}


def test_a_row_to_evaluate_on_that_only_the_trained_model_cannot_predict_is_left_out() -> None:
    # It overflows once the weights have grown, while all weights are finite.
    run = Run(specify(learning_rate=0.5), splits({"train": {}, "eval": {3: 1.2e38}}))
    first = run.fused.layers["hidden"][0].kernel
    first.assign(np.full(first.shape, 1e-22))  # at the beginning, its loss is finite

    record = run.train()

    assert run.source.rejected == {"train": set(), "eval": {3}}
    assert np.isfinite(record.kept_epoch["val_loss"])


def test_all_steps_together_may_reject_as_many_as_allowed() -> None:
    within = Run(specify(max_rejected=4 / 61), splits(BAD), before=1)
    beyond = Run(specify(max_rejected=4 / 62), splits(BAD), before=1)

    assert within.source.find_unusable() == 3
    with pytest.raises(RejectedRowsError) as caught:
        beyond.source.find_unusable()

    assert str(caught.value) == (
        "4 of 61 rows were rejected (1 of them by earlier steps), data.max_rejected allows "
        f"6.45161 %. First: row 7, {NOT_FINITE}; row 44, {NOT_FINITE}; row 0, {NOT_FINITE}"
    )
    assert [row for row, _, _ in caught.value.rejected] == ["row 7", "row 44", "row 0"]


def test_a_split_of_which_no_row_can_be_used_is_refused() -> None:
    none = {"train": {}, "eval": dict.fromkeys(range(15), np.nan)}
    run = Run(specify(max_rejected=0.9), splits(none))
    run.source.find_unusable()

    with pytest.raises(RejectedRowsError, match=r"no row of the split 'eval' can be used. First"):
        run.source.of_stage(0)


def test_training_that_diverges_is_no_fault_of_its_rows() -> None:
    run = Run(specify(max_rejected=1.0, learning_rate=1e38), splits({"train": {}, "eval": {}}))

    with pytest.raises(RunError, match=r"is not a finite number after epoch 1: lower the learning"):
        run.train()
    assert run.source.unusable == []


@pytest.mark.parametrize("name", sorted(OF_ROW))
def test_no_loss_hides_a_prediction_that_is_nan(name: str) -> None:
    options = {"quantile": 0.5} if name == "quantile" else {}
    predictions = np.array([[np.nan, 0.5]], "float32")
    of_classes = name.startswith("categorical") or name == "cosine_similarity"
    labels = np.array([[1]]) if of_classes else np.array([[1.0, 0.0]])

    assert np.isnan(new_loss(Loss(name=name, options=options))(labels, predictions))
