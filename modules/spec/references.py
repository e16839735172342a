"""What the graph of a specification refers to: each connection by its key, its ends by name."""

from __future__ import annotations

from collections.abc import Iterator

from tfx_fusion.modules.spec.specification import Graph, Merge


def source_of(reference: str) -> str:
    """The feature, sub-model or node that a reference such as `vision.pooled` starts from."""
    return reference.split(".", 1)[0]


def references(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Each connection as (key in the specification, name of the consumer, reference)."""
    for name in (*graph.submodels, *graph.graph):
        yield from ((key, name, reference) for key, reference in inputs_of(graph, name))
    yield from graph.ends()


def inputs_of(graph: Graph, name: str) -> Iterator[tuple[str, str]]:
    """What feeds a sub-model or node, as (key in the specification, reference)."""
    if name in graph.submodels:
        for entry, reference in graph.submodels[name].inputs.items():
            yield f"submodels.{name}.inputs.{entry}", reference
        return
    node = graph.graph[name]
    for reference in node.inputs if isinstance(node, Merge) else (node.inputs,):
        yield f"graph.{name}.inputs", reference


def used_features(graph: Graph) -> list[str]:
    """The features that enter the graph, in the specification's order; slices may use others."""
    used = {source_of(reference) for _, _, reference in references(graph)}
    return [name for name in graph.features if name in used]
