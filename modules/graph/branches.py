"""The branches of a fusion, and the same fusion with only one of them.

The branches of an output are the inputs of the last merge before it: from what it predicts from,
back through layers and through sub-models of a single source, to the first merge.
"""

from typing import NamedTuple

from tfx_fusion.modules.spec import (
    Evaluation,
    Feature,
    Fusion,
    Graph,
    Layers,
    Merge,
    Submodel,
)
from tfx_fusion.modules.spec.topology import ancestors, inputs_of, source_of, upstream
from tfx_fusion.modules.spec.views import without_checks


class Joint(NamedTuple):
    """A merge that comes last before some outputs, and the references that it joins."""

    merge: str
    branches: tuple[str, ...]
    outputs: tuple[str, ...]


def joints_of(specification: Fusion) -> list[Joint]:
    """Every merge of two branches or more that comes last before an output."""
    behind: dict[str, list[str]] = {}
    for name, output in specification.outputs.items():
        merge = _last_merge(specification, output.from_)
        if merge is not None:
            behind.setdefault(merge, []).append(name)
    found = (
        Joint(merge, tuple(dict.fromkeys(_inputs(specification, merge))), tuple(outputs))
        for merge, outputs in behind.items()
    )
    return [joint for joint in found if len(joint.branches) > 1]


def _inputs(graph: Graph, name: str) -> list[str]:
    return [reference for _, reference in inputs_of(graph, name)]


def _last_merge(graph: Graph, reference: str) -> str | None:
    name = source_of(reference)
    while name not in graph.features:
        if isinstance(graph.graph.get(name), Merge):
            return name
        sources = {source_of(reference) for reference in _inputs(graph, name)}
        if len(sources) > 1:
            return None
        [name] = sources
    return None


class SingleBranch(NamedTuple):
    """A fusion with one branch in place of a merge.

    `imported` maps each imported sub-model to the one of the whole fusion that has its file.
    """

    specification: Fusion
    imported: dict[str, str]


def single_branch(specification: Fusion, merge: str, branch: str) -> SingleBranch:
    """The same head and stages on one branch, without the nodes that no output needs any more."""

    def rewired(reference: str) -> str:
        return branch if reference == merge else reference

    def inputs_on(node: Merge | Layers) -> tuple[str, ...] | str:
        if isinstance(node, Merge):
            return tuple(map(rewired, node.inputs))
        return rewired(node.inputs)

    graph = {
        name: node.changed(inputs=inputs_on(node)) for name, node in specification.graph.items()
    }
    submodels = {
        name: submodel.changed(
            inputs={key: rewired(value) for key, value in submodel.inputs.items()}
        )
        for name, submodel in specification.submodels.items()
    }
    outputs = {
        name: output.changed(from_=rewired(output.from_))
        for name, output in specification.outputs.items()
    }
    whole = specification.changed(graph=graph, submodels=submodels, outputs=outputs)
    needed = ancestors(whole, [reference for _, _, reference in whole.ends()])
    remaining, imported = _submodels(whole, needed)
    stages = tuple(
        stage.changed(
            unfreeze={
                name: stage.unfreeze[owner]
                for name, owner in imported.items()
                if owner in stage.unfreeze
            }
        )
        for stage in whole.training.stages
    )
    training = whole.training.changed(stages=stages, warm_start=None)
    single = whole.changed(
        data=whole.data and without_checks(whole.data),
        features=_features(whole, needed),
        submodels=remaining,
        graph={name: node for name, node in graph.items() if name in needed},
        training=training,
        evaluation=Evaluation(),
        tuning=None,
    )
    return SingleBranch(single, imported)


def _features(specification: Fusion, needed: set[str]) -> dict[str, Feature]:
    """The features that are needed. The only feature of an output cannot be missing.

    Where rows lack it, empty text or zeros stand for it: with no other branch there is no merge at
    which to replace it.
    """
    features_of = upstream(specification)
    ends = [features_of[source_of(reference)] for _, _, reference in specification.ends()]
    return {
        name: feature.changed(missing=None) if {name} in ends else feature
        for name, feature in specification.features.items()
        if name in needed
    }


def _submodels(graph: Graph, needed: set[str]) -> tuple[dict[str, Submodel], dict[str, str]]:
    """The sub-models that are needed, and `imported` of `SingleBranch`.

    Where the owner of shared weights is not needed, the first that shares them becomes the owner.
    """
    remaining: dict[str, Submodel] = {}
    imported: dict[str, str] = {}
    owners = {graph.owner(name): name for name in reversed(graph.submodels) if name in needed}
    owners.update({name: name for name in owners if name in needed})
    for name, submodel in graph.submodels.items():
        if name not in needed:
            continue
        owner = graph.owner(name)
        if owners[owner] == name:
            own = graph.submodels[owner]
            remaining[name] = own.changed(inputs=submodel.inputs, output=submodel.output)
            imported[name] = owner
        else:
            remaining[name] = submodel.changed(same_as=owners[owner])
    return remaining, imported
