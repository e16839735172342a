"""The data of each stage of training: embeddings where that is exact, else raw rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.embedding.columns import Contents, read_contents
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, LearnsFrom, StagePlan, distinct_plans
from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.data import (
    Epochs,
    RawRows,
    Rows,
    WithoutRows,
    evaluation_rows,
    training_rows,
)
from tfx_fusion.modules.training.embedded import EmbeddedRows, new_head

log = logging.getLogger("fusion.training")
# A step of a head takes less than the call of it. More at once would keep a signal waiting.
MOST_STEPS = 256


class StageData(NamedTuple):
    """What a stage learns from, and the model that learns it: the whole, or the head.

    Keras is called once for each `steps_per_execution` steps, which must divide the steps of an
    epoch.
    """

    model: keras.Model
    train: Epochs
    eval: tf.data.Dataset
    learns_from: LearnsFrom
    steps_per_execution: int = 1


class EmbeddedStore:
    """The embedded rows of each plan; those opened last stay in memory."""

    def __init__(self, stages: Sequence[StagePlan], folders: Sequence[str]) -> None:
        """
        Args:
            stages: what each stage learns from.
            folders: the folder of embedded rows of each distinct plan, in the stages' order.
        """
        self._folders = list(zip(distinct_plans(list(stages)), folders, strict=True))
        self._rejected: dict[str, set[int]] | None = None
        self._open: tuple[EmbeddingPlan, Contents, dict[str, EmbeddedRows]] | None = None

    def open(self, plan: EmbeddingPlan) -> tuple[Contents, dict[str, EmbeddedRows]]:
        """The contents page and the rows of each split."""
        if self._open is None or self._open[0] != plan:
            self._open = None  # first: the embeddings of two plans need not fit in memory together
            folder = next(folder for known, folder in self._folders if known == plan)
            contents = read_contents(folder)
            if contents.plan != plan:
                raise RunError(f"{folder}: expected embeddings of another plan: run again")
            rows = {
                split: EmbeddedRows(contents, split, f"{folder}/Split-{split}")
                for split in contents.rows
            }
            self._open = plan, contents, rows
        return self._open[1:]

    def rejected(self, scan: Callable[[], dict[str, set[int]]]) -> dict[str, set[int]]:
        """By split, the places of the rows that could not be embedded for one of the plans.

        Where nothing is embedded, those that `scan` finds, which is called once.
        """
        if self._rejected is None:
            found: dict[str, set[int]] = {}
            for _, folder in self._folders:
                for split, places in read_contents(folder).rejected.items():
                    found.setdefault(split, set()).update(places)
            self._rejected = found if self._folders else scan()
        return self._rejected


def without(rows: Rows, rejected: Collection[int], missing: Collection[int] = ()) -> Rows:
    """Rows but for those at some places of their split.

    Args:
        rows: the rows of a split.
        rejected: the places of those to leave out, counted before any was.
        missing: the places of those that `rows` do not have any more.
    """
    left = [n - sum(gone < n for gone in missing) for n in set(rejected) - set(missing)]
    return WithoutRows(rows, left) if left else rows


class StageDataSource:
    """Opens the data of a stage when it is asked for."""

    def __init__(
        self,
        specification: Specification,
        fused: FusedModel,
        stages: Sequence[StagePlan],
        store: EmbeddedStore,
        raw: Callable[[str], RawRows],
    ) -> None:
        """
        Args:
            specification: what is trained.
            fused: the whole model, of real sub-models where a stage learns from raw data.
            stages: what each stage learns from.
            store: the embedded rows of the stages' plans.
            raw: opens the raw rows of a split.
        """
        self._specification, self._fused = specification, fused
        self._stages, self._store, self._raw = stages, store, raw

    def of_stage(self, position: int) -> StageData:
        """The data of the stage at a position."""
        stage = self._stages[position]
        rows: Mapping[str, Rows]
        known: Mapping[str, Collection[int]] = {}
        if stage.plan is None:
            model, rows = self._fused.model, {split: self._raw(split) for split in SPLITS}
        else:
            contents, rows = self._store.open(stage.plan)
            model = new_head(self._fused, contents)
            known = contents.rejected
        # All stages learn from the same rows, and are measured on the same.
        rejected = self._store.rejected(self._unpredictable)
        rows = {
            split: without(found, rejected.get(split, ()), known.get(split, ()))
            for split, found in rows.items()
        }
        inputs = list(model.input)
        epochs = training_rows(self._specification, rows["train"], inputs)
        evaluation = evaluation_rows(self._specification, rows["eval"], inputs)
        together = 1 if stage.plan is None else largest_divisor(epochs.steps, MOST_STEPS)
        return StageData(model, epochs, evaluation, stage.learns_from, together)

    def _unpredictable(self) -> dict[str, set[int]]:
        """The rows that raw data have and training could not learn from, by split.

        Raises RejectedRowsError where these are more than `data.max_rejected` allows.
        """
        data, size = self._specification.data, self._specification.training.batch_size
        split_rows = {split: self._raw(split) for split in SPLITS}
        found = {
            split: unpredictable_rows(self._fused.model, rows, size)
            for split, rows in split_rows.items()
        }
        rejected = [
            (row_id, "", "expected a finite prediction before training, found NaN or infinity")
            for places in found.values()
            for row_id in places.values()
        ]
        if rejected:
            total = sum(rows.count() for rows in split_rows.values())
            message = (
                f"{len(rejected)} of {total} rows have no finite prediction before training, first "
                f"{rejected[0][0]}"
            )
            if len(rejected) > data.max_rejected * total:
                allowed = f"data.max_rejected allows {data.max_rejected * 100:g} %"
                raise RejectedRowsError(f"{message}; {allowed}", rejected)
            log.warning("%s: they are left out", message)
        return {split: set(places) for split, places in found.items()}


def unpredictable_rows(model: keras.Model, rows: Rows, batch_size: int) -> dict[int, str]:
    """The rows of a split of which a model predicts NaN or infinity: the place and id of each."""

    @tf.function(autograph=False, reduce_retracing=True)
    def looked_at(numbers: Any) -> tuple[Any, Any]:
        tensors = rows.tensors(numbers)
        predicted = model({name: tensors[name] for name in model.input}, training=False)
        finite = [
            tf.reduce_all(tf.math.is_finite(tf.reshape(value, [tf.shape(value)[0], -1])), axis=1)
            for value in predicted.values()
        ]
        return tf.reduce_all(tf.stack(finite), axis=0), tensors["row_id"]

    found: dict[int, str] = {}
    for numbers in tf.data.Dataset.range(rows.count()).batch(batch_size):
        finite, row_ids = (tensor.numpy() for tensor in looked_at(numbers))
        for row in np.flatnonzero(~finite):
            found[int(numbers[row])] = row_ids[row].decode()
    return found


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of a number that does not exceed `most`."""
    return next(divisor for divisor in range(min(number, most), 0, -1) if number % divisor == 0)
