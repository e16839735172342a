"""The data of each stage of training: embeddings where that is exact, else raw rows."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.rejected import Rejected, check_limit, read_rejected, shown
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.embedding.columns import Contents, read_contents
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, LearnsFrom, StagePlan, distinct_plans
from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.training.data import (
    Epochs,
    RawRows,
    Rows,
    WithoutRows,
    evaluation_rows,
    training_rows,
)
from tfx_fusion.modules.training.embedded import EmbeddedRows, new_head
from tfx_fusion.modules.training.unusable_rows import NOT_FINITE, UnusableRow, unusable_rows

log = logging.getLogger("fusion.training")
# A step of a head takes less than the call of it. More at once would keep a signal waiting.
MOST_STEPS = 256

# Places of rows, by split.
Places = Mapping[str, Collection[int]]


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

    @cached_property
    def rejected(self) -> Places:
        """By split, the places of the rows that could not be embedded for one of the plans."""
        contents = [read_contents(folder).rejected for _, folder in self._folders]
        return {split: {n for places in contents for n in places.get(split, ())}
                for split in SPLITS}  # fmt: skip

    @cached_property
    def rejected_rows(self) -> list[Rejected]:
        """These rows with the reasons, each once."""
        if not any(self.rejected.values()):
            return []
        found = [row for _, folder in self._folders for row in read_rejected(folder)]
        return list({row.row: row for row in found}.values())


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
    """Opens the data of a stage when it is asked for.

    All stages learn from the same rows, and are measured on the same: those that every plan has
    embedded, without the `unusable` ones that training has found.
    """

    def __init__(
        self,
        specification: Fusion,
        fused: FusedModel,
        stages: Sequence[StagePlan],
        store: EmbeddedStore,
        raw: Callable[[str], RawRows],
        unusable: Collection[UnusableRow] = (),
        rejected_before: int = 0,
        max_rejected: float | None = None,
    ) -> None:
        """
        Args:
            specification: what is trained.
            fused: the whole model, of real sub-models where a stage learns from raw data.
            stages: what each stage learns from.
            store: the embedded rows of the stages' plans.
            raw: opens the raw rows of a split.
            unusable: what training is known to have found.
            rejected_before: how many rows were rejected when they were read.
            max_rejected: the share of rows that need not be usable; the specification's if None.
        """
        self._specification, self._fused = specification, fused
        self._stages, self._store, self._raw = stages, store, raw
        self.unusable, self._rejected_before = list(unusable), rejected_before
        self._max_rejected = specification.max_rejected if max_rejected is None else max_rejected

    def of_stage(self, position: int) -> StageData:
        """The data of the stage at a position.

        Raises RejectedRowsError where no row of a split is left.
        """
        stage = self._stages[position]
        model, rows, known = self._open(position)
        rejected = self.rejected
        left = {
            split: without(found, rejected[split], known.get(split, ()))
            for split, found in rows.items()
        }
        for split, found in left.items():
            if not found.count() and not rejected[split]:
                raise RunError(f"expected rows in the split '{split}' of the examples, found none")
            if not found.count():
                listed = self.rejected_rows
                raise RejectedRowsError(
                    f"no row of the split '{split}' can be used. First: {shown(listed)}", listed
                )
        inputs = list(model.input)
        epochs = training_rows(self._specification, left["train"], inputs)
        evaluation = evaluation_rows(self._specification, left["eval"], inputs)
        together = 1 if stage.plan is None else largest_divisor(epochs.steps, MOST_STEPS)
        return StageData(model, epochs, evaluation, stage.learns_from, together)

    def _open(self, position: int) -> tuple[keras.Model, dict[str, Rows], Places]:
        """A stage's model, its rows, and the places of the rows that these lack."""
        plan = self._stages[position].plan
        if plan is None:
            return self._fused.model, {split: self._raw(split) for split in SPLITS}, {}
        contents, rows = self._store.open(plan)
        return new_head(self._fused, contents), dict(rows), contents.rejected

    @property
    def rejected(self) -> dict[str, set[int]]:
        """The places of the rows that are left out, by split."""
        found = {split: set(places) for split, places in self._store.rejected.items()}
        for row in self.unusable:
            found[row.split].add(row.place)
        return found

    @property
    def rejected_rows(self) -> list[Rejected]:
        """The rows that are left out, with the reasons."""
        found = [Rejected(row.row_id, "", NOT_FINITE) for row in self.unusable]
        return [*self._store.rejected_rows, *found]

    def find_unusable(self) -> int:
        """Adds to the unusable rows those that the first stage's model, as it is now, finds.

        Returns how many it has added. Raises RejectedRowsError where these are too many.
        """
        model, rows, known = self._open(0)
        rejected, before = self.rejected, len(self.unusable)
        for split, given in rows.items():
            gone = sorted(known.get(split, ()))
            places = np.delete(np.arange(given.count() + len(gone)), gone)
            numbers = unusable_rows(self._specification, model, self._fused.units, given)
            numbers = np.array([n for n in numbers if places[n] not in rejected[split]], np.int64)
            self.unusable += [
                UnusableRow(split, int(places[number]), row_id)
                for number, row_id in zip(numbers, given.row_ids(numbers), strict=True)
            ]
        self.check_limit()
        added = self.unusable[before:]
        if added:
            log.warning(
                "%d rows are left out, first %s: %s", len(added), added[0].row_id, NOT_FINITE
            )
        return len(added)

    def check_limit(self) -> None:
        """Raises RejectedRowsError where all steps together reject too many rows."""
        rejected, before = self.rejected_rows, self._rejected_before
        if rejected:
            _, rows, known = self._open(0)
            total = sum(given.count() for given in rows.values()) + sum(map(len, known.values()))
            check_limit(rejected, self._max_rejected, total + before, before)


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of a number that does not exceed `most`."""
    return next(divisor for divisor in range(min(number, most), 0, -1) if number % divisor == 0)
