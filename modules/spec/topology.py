"""The fusion graph as names only: each connection by its key, what feeds what, in which order."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import TopologicalSorter

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
