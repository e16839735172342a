"""What is embedded once: for each stage, the frontier between what is frozen and what learns.

A sub-model that a stage leaves frozen gives the same output for a row in every epoch, as long as
all before it does so too. What such sub-models give is computed once; the head learns from that.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal

import keras

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.keras_compat import takes_training
from tfx_fusion.modules.spec import (
    Fusion,
    Graph,
    Label,
    Layers,
    Stage,
    Submodel,
    length_name,
    missing_name,
    variable_sequences,
)
from tfx_fusion.modules.spec.base import Part
from tfx_fusion.modules.spec.topology import (
    ancestors,
    in_order,
    inputs_of,
    replaced_at,
    source_of,
    upstream,
)
from tfx_fusion.modules.spec.views import embedded_submodels, features_in_rows, labels_in_rows
from tfx_fusion.modules.submodels.interface import Interface

# Layers that take a `training` argument, as all of Keras's for images do, and make no use of it.
SAME_IN_TRAINING = (keras.layers.CenterCrop, keras.layers.Resizing)
# Near the data embeddings grow larger than what they are computed from; then raw data do better.
MOST_BYTES_PER_ROW = 256 << 10


class EmbeddingPlan(Graph):
    """The frozen part of a graph, and what of its values a head learns from.

    `embeddings` are references such as `vision.features`; `passed` are the features that the head
    reads beside them, with the lengths of variable sequences and which rows lack one
    (`image.missing`); `precision` is that of the layers behind sub-models; `max_rejected` is the
    share of rows that need not be usable. `cuts` names, for a sub-model that is trained in part,
    the inner layers that its embeddings come from. It holds nothing of the head, so that a changed
    head needs no new embeddings.
    """

    labels: dict[str, Label]
    embeddings: tuple[str, ...]
    passed: tuple[str, ...]
    precision: str
    max_rejected: float = 0.0
    cuts: dict[str, tuple[str, ...]] = {}

    def ends(self) -> Iterator[tuple[str, str, str]]:
        """The embeddings."""
        for reference in self.embeddings:
            yield f"embeddings.{reference}", "embeddings", reference


class LearnsFrom(Part):
    """What a stage learns from, as records keep it: the embeddings `of` some tensors, or raw rows.

    `description` says the same in words, with the reason where it is raw rows.
    """

    source: Literal["embeddings", "rows"]
    of: tuple[str, ...] = ()
    description: str


class StagePlan(Part):
    """What a stage is to learn from: the embeddings of a plan, or raw rows for a `reason`.

    `live` are the sub-models that run behind or beside the embeddings, in every epoch.
    """

    plan: EmbeddingPlan | None
    reason: str = ""
    live: tuple[str, ...] = ()

    @property
    def learns_from(self) -> LearnsFrom:
        """The same as records keep it."""
        if self.plan is None:
            description = f"raw data: {self.reason}" if self.reason else "raw data"
            return LearnsFrom(source="rows", description=description)
        of = self.plan.embeddings
        parts = [f"embeddings of {', '.join(of)}"]
        live = [f"the rest of {n}" if n in self.plan.cuts else n for n in self.live]
        if live:
            parts.append(f"{', '.join(live)} computed in every epoch")
        features = self.plan.features
        images = [n for n in self.plan.passed if n in features and features[n].type == "image"]
        if images:
            parts.append(f"{', '.join(images)} decoded on the fly")
        return LearnsFrom(source="embeddings", of=of, description="; ".join(parts))

    def __str__(self) -> str:
        return self.learns_from.description


def plan_stages(specification: Fusion, fused: FusedModel) -> list[StagePlan]:
    """What each stage of training learns from.

    Args:
        specification: a checked one.
        fused: its graph, which may be built from interfaces alone.
    """
    chosen = [_chosen(specification, fused, stage) for stage in specification.training.stages]
    # What any stage trains begins as the champion's in a warm start.
    changed = _together(chosen) if specification.training.warm_start else {}
    plans = []
    for trained in chosen:
        # What an earlier stage has trained is frozen again, but no longer what was imported.
        changed = _together([changed, trained])
        plans.append(_plan(specification, fused, changed))
    return plans


# By sub-model, the layers (variables of a SavedModel) that are no longer what was imported.
Changed = dict[str, set[str]]


def _chosen(specification: Fusion, fused: FusedModel, stage: Stage) -> Changed:
    return {
        name: set(chosen_layers(f"unfreeze.{name}", fused.interfaces[name], fused.taps[name], what))
        for name, what in stage.unfreeze.items()
    }


def _together(changes: list[Changed]) -> Changed:
    names = {name for change in changes for name in change}
    return {name: set().union(*(change.get(name, set()) for change in changes)) for name in names}


def distinct_plans(stages: list[StagePlan]) -> list[EmbeddingPlan]:
    """The plans of all stages, each once, in the stages' order."""
    found: list[EmbeddingPlan] = []
    for stage in stages:
        if stage.plan is not None and stage.plan not in found:
            found.append(stage.plan)
    return found


def _plan(specification: Fusion, fused: FusedModel, changed: Changed) -> StagePlan:
    if not specification.training.embed_once:
        return StagePlan(plan=None, reason="training.embed_once is false")
    frontier = _Frontier(specification, fused, changed)
    submodels = {specification.owner(name) for name in specification.submodels}
    if not frontier.embeddings:
        reason = "every sub-model is trained by then" if submodels <= changed.keys() else (
            "what is trained or drawn at random comes before every frozen sub-model"
        )  # fmt: skip
        return StagePlan(plan=None, reason=reason if submodels else "no sub-model")
    needed = ancestors(specification, frontier.embeddings)
    graph = {name: node for name, node in specification.graph.items() if name in needed}
    plan = EmbeddingPlan(
        features=features_in_rows(specification.features),
        labels=labels_in_rows(specification.labels),
        submodels=_submodels(specification, needed),
        graph=graph,
        precision=specification.training.precision if graph else "float32",
        embeddings=tuple(frontier.embeddings),
        max_rejected=specification.max_rejected,
        passed=tuple(name for name in fused.model.input if name in frontier.features),
        cuts=frontier.cuts,
    )
    return StagePlan(plan=plan, live=frontier.live)


def _submodels(specification: Fusion, needed: set[str]) -> dict[str, Submodel]:
    """The sub-models that compute some embeddings, with those whose weights they use.

    One that only gives its weights is connected as the one that uses them: where it really stands,
    it may read from the head.
    """
    found = {}
    for name, submodel in embedded_submodels(specification).items():
        users = [n for n in specification.submodels if specification.owner(n) == name]
        using = [specification.submodels[n].inputs for n in users if n in needed]
        if name in needed:
            found[name] = submodel
        elif using:
            found[name] = submodel.changed(inputs=using[0])
    return found


class _Frontier:
    """Walks from the outputs towards the data, up to what is constant."""

    def __init__(self, specification: Fusion, fused: FusedModel, changed: Changed) -> None:
        self._specification, self._fused = specification, fused
        self._changed = changed
        self._upstream = upstream(specification)
        self._constant = _constant(specification, fused, changed)
        self.live = tuple(name for name in specification.submodels if name not in self._constant)
        self._sequences = variable_sequences(specification.features)
        self._seen: set[str] = set()
        self.embeddings: list[str] = []
        self.cuts: dict[str, tuple[str, ...]] = {}
        self.features: set[str] = set()
        for _, _, reference in specification.ends():
            self._walk(reference)

    def _walk(self, reference: str) -> None:
        source = source_of(reference)
        self._add_missing(source)
        if source in self._specification.features:
            self.features.add(reference)
            if source in self._sequences:
                self.features.add(length_name(source))
        elif source in self._constant and self._is_worth_embedding(source):
            tensor = self._fused.resolved[reference]
            if tensor not in self.embeddings:
                self.embeddings.append(tensor)
        elif source not in self._seen:
            self._seen.add(source)
            below = self._cut_below(source)
            if below:
                self.cuts[source] = below
                self.embeddings += [f"{source}.{layer}" for layer in below]
                return
            for _, before in inputs_of(self._specification, source):
                self._walk(before)

    def _add_missing(self, source: str) -> None:
        """Passes on which rows lack a feature, where all of a tensor comes from it.

        There the head makes up values, replaces them, or puts finite ones in their place.
        """
        [feature, *others] = self._upstream[source]
        if not others and self._specification.features[feature].missing:
            self.features.add(missing_name(feature))

    def _cut_below(self, name: str) -> tuple[str, ...] | None:
        """Where to cut a sub-model that is trained in part, if all that feeds it is constant."""
        submodels = self._specification.submodels
        if name not in submodels:
            return None
        references = [reference for _, reference in inputs_of(self._specification, name)]
        sources = {source_of(reference) for reference in references}
        if any(replaced_at(self._specification, self._upstream, name, r) for r in references):
            return None
        shared = [twin for twin in submodels if self._specification.owner(twin) == name] != [name]
        if shared or not sources <= self._constant | set(self._specification.features):
            return None
        interface, taps = self._fused.interfaces[name], self._fused.taps[name]
        return cut_below(interface, taps, self._changed.get(name, set()))

    def _is_worth_embedding(self, name: str) -> bool:
        """A sub-model's outputs are; behind one, layers only where they make the values fewer.

        Merges cost next to nothing, and embeddings that hold none outlive a change of the merge.
        """
        if name in self._specification.submodels:
            return True
        node = self._specification.graph[name]
        if not isinstance(node, Layers) or not _has_submodel(self._specification, name):
            return False
        given = values_per_row(self._fused.tensor_of(node.inputs))
        made = values_per_row(self._fused.tensors[name])
        return given is not None and made is not None and made < given


def values_per_row(tensor: Any) -> int | None:
    """How many values a tensor `(batch, …)` holds for each row; None where that may vary."""
    total = 1
    for size in tensor.shape[1:]:
        if size is None:
            return None
        total *= size
    return total


def _constant(specification: Fusion, fused: FusedModel, changed: Changed) -> set[str]:
    """The sub-models and nodes that give a row the same values in every epoch of a stage."""
    constant: set[str] = set()
    features = upstream(specification)
    for name in in_order(specification):
        references = [reference for _, reference in inputs_of(specification, name)]
        if not {source_of(r) for r in references} <= constant | set(specification.features):
            continue
        if any(replaced_at(specification, features, name, reference) for reference in references):
            continue  # the replacement of a missing feature is drawn at random and learned
        if name in specification.submodels:
            varies = specification.owner(name) in changed
        else:
            varies = any(map(_varies, fused.layers[name]))
        if not varies:
            constant.add(name)
    return constant


def _varies(layer: Any) -> bool:
    """Whether a new layer learns, or may do something else in training than afterwards."""
    has_mode = takes_training(layer) and not isinstance(layer, SAME_IN_TRAINING)
    return bool(layer.weights) or has_mode or bool(layer.activity_regularizer)


def _has_submodel(specification: Fusion, name: str) -> bool:
    return bool(ancestors(specification, [name]) & set(specification.submodels))


def cut_below(
    interface: Interface, taps: Iterable[str], changed: Collection[str]
) -> tuple[str, ...] | None:
    """Where to cut a sub-model when a stage unfreezes only its last layers.

    All before every unfrozen layer is still as imported, and can be embedded once.

    Args:
        interface: the sub-model's.
        taps: what is taken from it.
        changed: the layers with weights that are unfrozen, by name.

    Returns the last unchanged layers on the way to the taps, in the order of the data. None where
    there is no such cut: an output that would cross it cannot be taken, comes straight from the
    data, or is too large.
    """
    if interface.format == "saved_model":
        return None  # a SavedModel does not show its graph
    affected: set[str] = set()
    for name, layer in interface.layers.items():
        if set(layer.weights) & set(changed) or set(layer.inputs) & affected:
            affected.add(name)
    crossing: set[str] = set()
    seen: set[str] = set()
    left = [interface.taps()[tap].layer for tap in taps]
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in affected:
            left.extend(interface.layers[name].inputs)
        else:
            crossing.add(name)
    if not crossing <= interface.cuts.keys():
        return None
    total = 0
    for name in crossing:
        shape = interface.cuts[name].shape
        if None in shape:
            return None
        total += 4 * math.prod(size for size in shape if size is not None)
    ordered = tuple(name for name in interface.layers if name in crossing)
    return ordered if total <= MOST_BYTES_PER_ROW else None
