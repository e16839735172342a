"""The fusion graph as names only: what feeds what, and in which order. No Keras in here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from graphlib import TopologicalSorter

from tfx_fusion.modules.spec import Graph
from tfx_fusion.modules.spec.references import inputs_of, references, source_of, used_features

__all__ = [
    "ancestors", "downstream", "in_order", "inputs_of", "references", "replaced_at", "source_of",
    "upstream", "used_features",
]  # fmt: skip


def in_order(graph: Graph) -> list[str]:
    """The names of sub-models and nodes, each after all that feeds it.

    Raises graphlib.CycleError where there is no such order.
    """
    nodes = [*graph.submodels, *graph.graph]
    # Lists, not sets: an order that differed between processes would draw other first weights.
    feeds = {
        name: [source_of(reference) for _, reference in inputs_of(graph, name)] for name in nodes
    }
    order = TopologicalSorter(feeds).static_order()
    return [name for name in order if name in feeds]


def ancestors(graph: Graph, references: Iterable[str]) -> set[str]:
    """The features, sub-models and nodes that some references are computed from."""
    found: set[str] = set()
    waiting = [source_of(reference) for reference in references]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name not in graph.features:
                waiting += [source_of(reference) for _, reference in inputs_of(graph, name)]
    return found


def upstream(graph: Graph) -> dict[str, frozenset[str]]:
    """The features that each feature, sub-model and node is computed from."""
    found = {name: frozenset([name]) for name in graph.features}
    for name in in_order(graph):
        sources = [source_of(reference) for _, reference in inputs_of(graph, name)]
        found[name] = frozenset().union(*(found[source] for source in sources))
    return found


def downstream(graph: Graph, names: Collection[str]) -> set[str]:
    """Some names, with all sub-models and nodes computed from them or sharing their weights.

    The names need not exist, nor the graph be free of cycles.
    """
    found = set(names)
    vertices = [*graph.submodels, *graph.graph]
    grown = True
    while grown:
        reached = {
            name
            for name in vertices
            if found.intersection(source_of(reference) for _, reference in inputs_of(graph, name))
            or (name in graph.submodels and graph.owner(name) in found)
        }
        grown = not reached <= found
        found |= reached
    return found


def replaced_at(
    graph: Graph, known: Mapping[str, frozenset[str]], name: str, reference: str
) -> str:
    """The feature that is replaced in rows that lack it, on the way from a reference to a node.

    That is where its branch joins others. Empty where nothing is replaced.
    """
    [*features] = known[source_of(reference)]
    if len(features) > 1 or known[name] == known[source_of(reference)]:
        return ""
    return features[0] if graph.features[features[0]].missing else ""
