"""Measures what each branch of a fusion contributes, on the embeddings where they exist."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.embedding.plan import StagePlan, plan_stages
from tfx_fusion.modules.evaluation.branch_data import BranchStore, comes_before
from tfx_fusion.modules.evaluation.measures import (
    Difference,
    Measure,
    intervals_of,
    measures_of,
    values_of,
)
from tfx_fusion.modules.evaluation.worth import Compared, Worth
from tfx_fusion.modules.graph.branches import Joint, joints_of, single_branch
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.keras_compat import run_graph
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import opener
from tfx_fusion.modules.training.data import RawRows
from tfx_fusion.modules.training.sources import EmbeddedStore, Sources
from tfx_fusion.modules.training.train import StageData, seed_everything, train
from tfx_fusion.modules.training.trained import read_trained, trained_variables

progress = logging.getLogger("fusion.progress")

# By output, `(rows, …)`.
Arrays = dict[str, np.ndarray]


def measure_worth(
    specification: Specification,
    interfaces: Mapping[str, Interface],
    submodels: Mapping[str, Path],
    transform_path: str,
    splits: Mapping[str, str],
    stages: Sequence[StagePlan],
    embeddings: Sequence[str],
    model: Path,
) -> Worth:
    """Compares the fused model with each of its branches, left out and alone.

    Args:
        specification: what was fused and how it was trained.
        interfaces, submodels: of each imported sub-model, the interface and the copy's folder.
        transform_path: the Transform graph's `transform_fn` folder.
        splits: the folder of tf.Examples of `train` and `eval`.
        stages: what each stage of training learnt from.
        embeddings: the folder of embedded rows of each distinct plan of the stages.
        model: the exported model.
    """
    fusion = _Fusion(
        specification, interfaces, submodels, transform_path, splits, stages,
        EmbeddedStore(stages, embeddings),
    )  # fmt: skip
    compared: list[Compared] = []
    rows = 0
    for joint in joints_of(specification):
        data, fused = fusion.trained(joint.merge, model)
        labels = _labels(data)
        rows = len(next(iter(labels.values())))
        predictions = {"fused": _predictions(data)}
        merge = fused.layers[joint.merge][0]
        inputs = specification.graph[joint.merge].inputs
        missing = [
            _of_missing(fused, reference, mean)
            for reference, mean in zip(inputs, _means(data, merge), strict=True)
        ]
        for branch in joint.branches:
            progress.info("without %s", branch)
            held = {place: missing[place] for place, r in enumerate(inputs) if r == branch}
            left_out = _holding(data.model, merge, held)
            predictions[f"without {branch}"] = _predictions(data._replace(model=left_out))
        for branch in joint.branches:
            single = fusion.trained_alone(joint.merge, branch)
            predictions[f"{branch} alone"] = _predictions(single)
        compared += _compare(specification, joint, labels, predictions)
    return Worth(rows=rows, compared=tuple(compared))


@dataclass(frozen=True)
class _Fusion:
    specification: Specification
    interfaces: Mapping[str, Interface]
    submodels: Mapping[str, Path]
    transform_path: str
    splits: Mapping[str, str]
    stages: Sequence[StagePlan]
    store: EmbeddedStore

    @cached_property
    def _transform(self) -> TransformGraph:
        given = self.specification
        return TransformGraph(self.transform_path, given.features, given.labels)

    def _raw(self, split: str) -> RawRows:
        return RawRows(self.specification, self._transform, self.splits[split])

    def _new(
        self,
        specification: Specification,
        stages: Sequence[StagePlan],
        imported: Mapping[str, str],
    ) -> FusedModel:
        """Joined from interfaces alone where nothing needs the sub-models themselves."""
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

    def trained(self, merge: str, model: Path) -> tuple[StageData, FusedModel]:
        """The fused model as it was exported, and its rows: embedded where they reach the merge."""
        last = self.stages[-1]
        if last.plan and not comes_before(self.specification, last.plan, merge):
            last = StagePlan(plan=None, why="raw data: the embeddings lie behind the merge")
        owners = {name: name for name in self.specification.imported()}
        fused = self._new(self.specification, [last], owners)
        stored = read_trained(model)
        values = stored.values if stored else {}
        variables = trained_variables(fused, {name: {} for name in fused.submodels})
        for name, variable in variables.items():
            if name in values:
                variable.assign(values[name])
        sources = Sources(self.specification, fused, [last], self.store, self._raw)
        return sources.of_stage(0), fused

    def trained_alone(self, merge: str, branch: str) -> StageData:
        """A head trained on one branch, by the same stages as the fused model."""
        single, imported = single_branch(self.specification, merge, branch)
        interfaces = {name: self.interfaces[owner] for name, owner in imported.items()}
        store = BranchStore(self.store, self.stages, self.specification)
        planned = plan_stages(single, build(single, interfaces, open_interface))
        stages = store.plans(planned, merge)
        fused = self._new(single, stages, imported)
        sources = Sources(single, fused, stages, store, self._raw)
        if _learns(fused, single):
            progress.info("%s alone", branch)
            train(single, interfaces, fused, sources.of_stage)
        return sources.of_stage(len(stages) - 1)


def _learns(fused: FusedModel, specification: Specification) -> bool:
    head = any(layer.trainable_variables for layers in fused.layers.values() for layer in layers)
    return head or any(stage.unfreeze for stage in specification.training.stages)


def _of_missing(fused: FusedModel, reference: str, mean: np.ndarray) -> np.ndarray:
    """What a merge takes for a branch that is missing.

    What stands for its feature in rows that may lack it; for others, its mean.
    """
    replacement = fused.replacements.get(reference)
    if replacement is None:
        return mean
    if replacement.vector is None:
        return np.zeros_like(mean)
    return keras.ops.convert_to_numpy(replacement.vector).astype(mean.dtype)


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Held(keras.layers.Layer):
    """Gives every row the same value in place of its own, `(batch, …)` to `(batch, …)`."""

    def __init__(self, value: np.ndarray, **options: Any) -> None:
        super().__init__(**{**options, "trainable": False, "autocast": False})
        self.supports_masking = True
        self._value = value

    def call(self, inputs: Any) -> Any:
        return keras.ops.zeros_like(inputs) + keras.ops.cast(self._value, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        value = {"values": self._value.tolist(), "dtype": self._value.dtype.name}
        return {**super().get_config(), "value": value}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Held:
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
            Held(values[place])(tensor) if place in values else tensor
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


def _labels(data: StageData) -> Arrays:
    batches = [labels for _, labels in data.eval]
    return {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}


def _compare(
    specification: Specification,
    joint: Joint,
    labels: Arrays,
    predictions: Mapping[str, Arrays],
) -> list[Compared]:
    compared = []
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
                values = values_of(found, rows)
                intervals = intervals_of(found, rows, confidence, seed) if confidence else {}
                compared.append(
                    Compared(
                        output=output,
                        metric=metric,
                        branch=branch,
                        **values,
                        **{
                            f"{name}_interval": intervals.get(name)
                            for name in ("alone", "without", "gain")
                        },
                    )
                )
    return compared


def _measures(
    measures: Mapping[str, Mapping[str, Measure]], metric: str, branch: str
) -> dict[str, Measure]:
    fused = measures["fused"][metric]
    single = measures[f"{branch} alone"][metric]
    less_is_better = metric.endswith("error")
    return {
        "fused": fused,
        "alone": single,
        "without": measures[f"without {branch}"][metric],
        "gain": Difference(single, fused) if less_is_better else Difference(fused, single),
    }
