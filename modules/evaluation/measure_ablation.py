"""Measures what each branch of a fusion contributes, on embeddings where they exist."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.data.file_list import Folders
from tfx_fusion.modules.embedding.columns import Contents
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, StagePlan, distinct_plans, plan_stages
from tfx_fusion.modules.evaluation.ablation import Ablation, Comparison
from tfx_fusion.modules.evaluation.metrics import (
    Counted,
    Difference,
    Measure,
    intervals_of,
    measures_of,
    values_of,
)
from tfx_fusion.modules.graph.branches import Joint, joints_of, single_branch
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.keras_compat import run_graph
from tfx_fusion.modules.metrics.table import larger_is_better
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.spec.topology import ancestors
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import opener
from tfx_fusion.modules.training.data import RawRows
from tfx_fusion.modules.training.embedded import EmbeddedRows
from tfx_fusion.modules.training.stage_data import EmbeddedStore, Places, StageData, StageDataSource
from tfx_fusion.modules.training.train import seed_everything, train
from tfx_fusion.modules.training.trained_values import Trained, read_trained, trained_variables

progress = logging.getLogger("fusion.progress")

# By output, `(rows, …)`.
Arrays = dict[str, np.ndarray]


def measure_ablation(
    specification: Fusion,
    interfaces: Mapping[str, Interface],
    submodels: Mapping[str, Path],
    transform_path: str,
    splits: Mapping[str, Folders],
    stages: Sequence[StagePlan],
    embeddings: Sequence[str],
    model: Path,
    names: Mapping[str, str] | None = None,
) -> Ablation:
    """Compares the fused model with itself without each branch, and with each branch by itself.

    Args:
        specification: what was fused and how it was trained.
        interfaces, submodels: of each imported sub-model, the interface and the copy's folder.
        transform_path: the Transform graph's `transform_fn` folder.
        splits: the folder of tf.Examples of `train` and `eval`, or several.
        stages: what each stage of training learned from.
        embeddings: the folder of embedded rows of each distinct plan of the stages.
        model: the exported model.
        names: the Transform graph's output for a feature or label, where it has another name.
    """
    fusion = _Fusion(
        specification, interfaces, submodels, transform_path, splits, stages,
        EmbeddedStore(stages, embeddings), model, names or {},
    )  # fmt: skip
    comparisons: list[Comparison] = []
    rows = 0
    for joint in joints_of(specification):
        data, fused = fusion.trained(joint.merge)
        labels = _labels(data)
        rows = len(next(iter(labels.values())))
        predictions = {"fused": _predictions(data)}
        merge = fused.layers[joint.merge][0]
        inputs = specification.graph[joint.merge].inputs
        replacements = [
            _replacement(fused, reference, mean)
            for reference, mean in zip(inputs, _means(data, merge), strict=True)
        ]
        for branch in joint.branches:
            progress.info("without %s", branch)
            held = {place: replacements[place] for place, r in enumerate(inputs) if r == branch}
            left_out = _holding(data.model, merge, held)
            predictions[f"without {branch}"] = _predictions(data._replace(model=left_out))
        for branch in joint.branches:
            single = fusion.trained_on(joint.merge, branch)
            predictions[f"only {branch}"] = _with_means(_predictions(single))
        comparisons += _compare(specification, joint, labels, predictions)
    return Ablation(rows=rows, comparisons=tuple(comparisons))


@dataclass(frozen=True)
class _Fusion:
    specification: Fusion
    interfaces: Mapping[str, Interface]
    submodels: Mapping[str, Path]
    transform_path: str
    splits: Mapping[str, Folders]
    stages: Sequence[StagePlan]
    store: EmbeddedStore
    model: Path
    names: Mapping[str, str]

    @cached_property
    def _trained(self) -> Trained:
        return read_trained(self.model) or Trained({}, {})

    @cached_property
    def _transform(self) -> TransformGraph:
        given = self.specification
        return TransformGraph(self.transform_path, given.features, given.labels, self.names)

    def _raw(self, split: str) -> RawRows:
        return RawRows(self.specification, self._transform, self.splits[split])

    def _new(
        self, specification: Fusion, stages: Sequence[StagePlan], imported: Mapping[str, str]
    ) -> FusedModel:
        """Built from interfaces, without weights, where nothing needs the sub-models themselves."""
        keras.backend.clear_session()
        seed_everything(specification.training.seed)
        interfaces = {name: self.interfaces[owner] for name, owner in imported.items()}
        folders = {name: self.submodels[owner] for name, owner in imported.items()}
        unfrozen = any(stage.unfreeze for stage in specification.training.stages)
        needed = unfrozen or any(stage.plan is None for stage in stages)
        opening = opener(specification, folders) if needed else open_interface
        with precision(specification.training.precision):
            fused = build(specification, interfaces, opening)
        return fused if needed else replace(fused, submodels={})

    def _data(
        self,
        specification: Fusion,
        fused: FusedModel,
        stages: Sequence[StagePlan],
        store: EmbeddedStore,
        max_rejected: float | None = None,
    ) -> StageDataSource:
        """The rows that the fused model was trained on, for branches are compared on the same."""
        unusable = self._trained.unusable
        return StageDataSource(
            specification, fused, stages, store, self._raw, unusable, max_rejected=max_rejected
        )

    def trained(self, merge: str) -> tuple[StageData, FusedModel]:
        """The fused model as it was exported, and its rows: embedded where they reach the merge."""
        last = self.stages[-1]
        if last.plan and merge in ancestors(self.specification, list(last.plan.embeddings)):
            last = StagePlan(plan=None, reason="the embeddings lie behind the merge")
        owners = {name: name for name in self.specification.imported()}
        fused = self._new(self.specification, [last], owners)
        values = self._trained.values
        variables = trained_variables(fused, {name: {} for name in fused.submodels})
        for name, variable in variables.items():
            if name in values:
                variable.assign(values[name])
        data = self._data(self.specification, fused, [last], self.store)
        return data.of_stage(0), fused

    def trained_on(self, merge: str, branch: str) -> StageData:
        """A head trained on one branch, by the same stages as the fused model."""
        single, imported = single_branch(self.specification, merge, branch)
        interfaces = {name: self.interfaces[owner] for name, owner in imported.items()}
        store = _BranchStore(self.store, self.stages, self.specification)
        planned = plan_stages(single, build(single, interfaces, open_interface))
        stages = store.plans(planned, merge)
        fused = self._new(single, stages, imported)
        data = self._data(single, fused, stages, store, max_rejected=1.0)
        if _learns(fused, single):
            progress.info("only %s", branch)
            # A head of its own cannot learn from rows that lack all that the branch reads.
            train(single, interfaces, fused, data.of_stage, search=data)
        return self._data(single, fused, stages, store, 1.0).of_stage(len(stages) - 1)


class _BranchStore(EmbeddedStore):
    """The embedded rows of a whole fusion, opened by the plans of a single branch."""

    def __init__(
        self, whole: EmbeddedStore, stages: Sequence[StagePlan], specification: Fusion
    ) -> None:
        """`stages` are what each stage of the whole fusion learns from."""
        self._whole, self._specification = whole, specification
        self._embedded = distinct_plans(list(stages))

    def plans(self, stages: Sequence[StagePlan], merge: str) -> list[StagePlan]:
        """What each stage of a single branch learns from, with it in place of a merge."""
        raw = StagePlan(plan=None, reason="no embeddings hold what the branch needs")

        def is_embedded(plan: EmbeddingPlan) -> bool:
            # What lies behind the merge was computed from the other branches as well.
            behind = merge in ancestors(self._specification, list(plan.embeddings))
            return not behind and self._covering(plan) is not None

        return [stage if stage.plan is None or is_embedded(stage.plan) else raw for stage in stages]

    def _covering(self, plan: EmbeddingPlan) -> EmbeddingPlan | None:
        wanted = {*plan.embeddings, *plan.passed}
        covering = (o for o in self._embedded if wanted <= {*o.embeddings, *o.passed})
        return next(covering, None)

    def open(self, plan: EmbeddingPlan) -> tuple[Contents, dict[str, EmbeddedRows]]:
        covering = self._covering(plan)
        if covering is None:
            raise KeyError(plan.embeddings)
        contents, rows = self._whole.open(covering)
        return contents.model_copy(update={"plan": plan}), rows

    @cached_property
    def rejected(self) -> Places:
        """Those of the whole fusion: branches are compared on the same rows."""
        return self._whole.rejected


def _learns(fused: FusedModel, specification: Fusion) -> bool:
    head = any(layer.trainable_variables for layers in fused.layers.values() for layer in layers)
    return head or any(stage.unfreeze for stage in specification.training.stages)


def _replacement(fused: FusedModel, reference: str, mean: np.ndarray) -> np.ndarray:
    """The value of a merge's input without its branch.

    Where rows may lack the branch's feature, what replaces it in them; else the branch's mean.
    """
    replacement = fused.replacements.get(reference)
    if replacement is None:
        return mean
    if replacement.vector is None:
        return np.zeros_like(mean)
    return keras.ops.convert_to_numpy(replacement.vector).astype(mean.dtype)


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Constant(keras.layers.Layer):
    """Replaces every row of `(batch, …)` by the same value.

    Also a mask, which would say how long the row's own value was: by one of every step.
    """

    def __init__(self, value: np.ndarray, **options: Any) -> None:
        fixed = {"trainable": False, "dtype": "float32", "autocast": False}
        super().__init__(**{**options, **fixed})
        self.supports_masking = True
        self._value = value

    def call(self, inputs: Any) -> Any:
        return keras.ops.zeros_like(inputs) + keras.ops.cast(self._value, inputs.dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask if previous_mask is None else keras.ops.ones_like(previous_mask)

    def get_config(self) -> dict[str, Any]:
        value = {"values": self._value.tolist(), "dtype": self._value.dtype.name}
        return {**super().get_config(), "value": value}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constant:
        value = config["value"]
        return cls(**{**config, "value": np.asarray(value["values"], value["dtype"])})


def _run_again(
    model: keras.Model, merge: keras.layers.Layer, change: Callable[[list[Any]], list[Any]]
) -> Any:
    """What a model gives with other inputs of a merge, all layers and weights being its own."""

    def run(operation: Any) -> Any:
        return (lambda tensors: operation(change(tensors))) if operation is merge else operation

    return run_graph(keras.Function(model.input, model.output), model.input, run)


def _holding(
    model: keras.Model, merge: keras.layers.Layer, values: Mapping[int, np.ndarray]
) -> keras.Model:
    """A model with some inputs of a merge held at a value."""

    def hold(tensors: list[Any]) -> list[Any]:
        return [
            Constant(values[place])(tensor) if place in values else tensor
            for place, tensor in enumerate(tensors)
        ]

    return keras.Model(model.input, _run_again(model, merge, hold))


def _means(data: StageData, merge: keras.layers.Layer) -> list[np.ndarray]:
    """The mean over the training rows of each input of a merge."""
    joined: list[Any] = []

    def keep(tensors: list[Any]) -> list[Any]:
        joined.extend(tensors)
        return tensors

    _run_again(data.model, merge, keep)
    before = keras.Model(data.model.input, joined)
    totals: list[Any] = [0.0] * len(joined)
    rows = 0
    for features, *_ in data.train.batches(0).take(data.train.steps):
        found = [np.array(tensor, dtype="float64") for tensor in before(features, training=False)]
        totals = [total + batch.sum(axis=0) for total, batch in zip(totals, found, strict=True)]
        rows += len(found[0])
    return [total / rows for total in totals]


def _predictions(data: StageData) -> Arrays:
    return data.model.predict(data.eval.map(lambda features, labels: features), verbose=0)


def _with_means(predictions: Arrays) -> Arrays:
    """The mean prediction in the rows of which a head on one branch has none that is finite."""

    def filled(values: np.ndarray) -> np.ndarray:
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        return values if finite.all() else np.where(
            finite.reshape(-1, *[1] * (values.ndim - 1)), values, values[finite].mean(axis=0)
        )  # fmt: skip

    return {name: filled(values) for name, values in predictions.items()}


def _labels(data: StageData) -> Arrays:
    batches = [labels for _, labels in data.eval]
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}


def _compare(
    specification: Fusion, joint: Joint, labels: Arrays, predictions: Mapping[str, Arrays]
) -> list[Comparison]:
    comparisons = []
    confidence, seed = specification.evaluation.confidence, specification.training.seed
    for output in joint.outputs:
        measures = {
            model: measures_of(specification, output, labels[output], found[output])
            for model, found in predictions.items()
        }
        rows = len(labels[output])
        for metric in specification.outputs[output].metrics:
            for branch in joint.branches:
                found = _measures(measures, metric, branch)
                intervals = intervals_of(found, rows, confidence, seed) if confidence else {}
                comparisons.append(
                    Comparison(
                        output=output,
                        metric=metric,
                        branch=branch,
                        **values_of(found, rows),
                        single_interval=intervals.get("single"),
                        without_interval=intervals.get("without"),
                        gain_interval=intervals.get("gain"),
                    )
                )
    return comparisons


def _measures(
    measures: Mapping[str, Mapping[str, Measure]], metric: str, branch: str
) -> dict[str, Counted]:
    fused = measures["fused"][metric]
    single = measures[f"only {branch}"][metric]
    better, worse = (fused, single) if larger_is_better(metric) else (single, fused)
    return {
        "fused": fused,
        "single": single,
        "without": measures[f"without {branch}"][metric],
        "gain": Difference(better, worse),
    }
