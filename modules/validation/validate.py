"""The whole validation: what can be seen without Keras, and what only the built graph shows.

The graph is built from interfaces, on whatever backend Keras was imported with.
"""

import os
from collections.abc import Iterator, Mapping

from tfx_fusion.modules.errors import Problem, SpecificationError
from tfx_fusion.modules.graph.branches import joints_of, single_branch
from tfx_fusion.modules.graph.build import FusedModel, build, build_valid, open_interface
from tfx_fusion.modules.graph.describe import weight_count
from tfx_fusion.modules.graph.layers import new_layer
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.spec import Fusion, Layers
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.training.optimizers import new_optimizer
from tfx_fusion.modules.validation.names import specification_problems
from tfx_fusion.modules.validation.part import buildable_part, without
from tfx_fusion.modules.validation.tokens import token_problems

# A weight, its gradient and what Adam remembers of it twice, each a float32.
BYTES_TO_TRAIN = 16


def validate(specification: Fusion, interfaces: Mapping[str, Interface]) -> FusedModel:
    """Checks a whole specification and returns its graph, built from interfaces.

    Args:
        specification: one from a file or from Python.
        interfaces: of each sub-model that is imported, by name.

    Raises SpecificationError with every problem: names that nothing defines or uses, losses and
    metrics that do not fit, shapes and dtypes that clash, layers, optimizers and schedules that
    Keras refuses, stages that train nothing, branches that no ablation can be measured of.
    """
    problems = specification_problems(specification)
    fused, found = graph_problems(specification, interfaces)
    problems += found
    if fused is None or problems:
        raise SpecificationError(problems)
    return fused


def graph_problems(
    specification: Fusion,
    interfaces: Mapping[str, Interface],
    invalid: frozenset[str] = frozenset(),
) -> tuple[FusedModel | None, list[Problem]]:
    """Builds a graph as far as it can be built.

    Args:
        specification: its names need not be valid.
        interfaces: of imported sub-models, as far as they could be read.
        invalid: the keys of parts that were left out of the specification.

    Returns the graph, None where some of it cannot be built, and every problem that shows.
    """
    unread = {name for name in specification.imported() if name not in interfaces}
    part = without(buildable_part(specification), unread)
    fused, problems = build_valid(part, interfaces, open_interface)
    if invalid or part != specification:
        fused = None  # of a part only
    if fused is None:
        problems += _layer_problems(specification)
    problems += token_problems(specification, interfaces)
    problems += _stage_problems(specification, interfaces, fused)
    if fused is not None:
        problems += _size_problems(fused)
        problems += ablation_problems(specification, interfaces)
    return fused, list(dict.fromkeys(problems))


def _size_problems(fused: FusedModel) -> Iterator[Problem]:
    """New layers that no memory of this machine holds: `units: 1000000000`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name, layers in fused.layers.items():
        weights = sum(weight_count(layer.weights) for layer in layers)
        size = weights * BYTES_TO_TRAIN
        if size > memory:
            yield Problem(
                f"graph.{name}",
                f"its layers have {weights:,} weights, which take {size >> 30:,} GiB to train; "
                f"this machine has {memory >> 30:,} GiB: make them smaller",
            )


def _layer_problems(specification: Fusion) -> Iterator[Problem]:
    """New layers that Keras cannot make, whatever feeds them."""
    for name, node in specification.graph.items():
        for position, item in enumerate(node.layers if isinstance(node, Layers) else ()):
            [(class_name, config)] = item.items()
            try:
                new_layer(f"graph.{name}.layers.{position}.{class_name}", class_name, config)
            except SpecificationError as error:
                yield from error.found


def _stage_problems(
    specification: Fusion, interfaces: Mapping[str, Interface], fused: FusedModel | None
) -> Iterator[Problem]:
    """What Keras refuses in a stage, or is not there to be trained."""
    layers = [layer for some in fused.layers.values() for layer in some] if fused else []
    weighted = any(layer.weights for layer in layers)
    for position, stage in enumerate(specification.training.stages):
        key = f"training.stages.{position}"
        try:
            new_optimizer(key, stage, {})
        except SpecificationError as error:
            yield from error.found
        for name, unfreeze in stage.unfreeze.items():
            if name not in interfaces:
                continue
            # Without the whole graph it is not known which of its outputs are used.
            taps = fused.taps[name] if fused else interfaces[name].taps()
            try:
                chosen_layers(f"{key}.unfreeze.{name}", interfaces[name], taps, unfreeze)
            except SpecificationError as error:
                yield from error.found
        if fused and not stage.unfreeze and not weighted:
            yield Problem(
                key,
                f"the stage '{stage.name}' trains nothing: add new layers to the graph, or "
                "unfreeze a sub-model",
            )


def ablation_problems(
    specification: Fusion, interfaces: Mapping[str, Interface]
) -> Iterator[Problem]:
    """Where there are no branches to compare, or a branch cannot be built on its own."""
    worth = specification.evaluation.worth
    if worth is None:
        return
    key = "evaluation.worth"
    nothing = "no merge of several branches comes before it, so there is nothing to compare"
    joints = joints_of(specification)
    if not joints:
        yield Problem(key, f"of every output, {nothing}: remove 'worth'")
        return
    joined = [output for joint in joints for output in joint.outputs]
    for output in worth.margin:
        if output not in joined:
            yield Problem(f"{key}.margin.{output}", f"{nothing}: remove it")
    for joint in joints:
        for branch in joint.branches:
            single = single_branch(specification, joint.merge, branch)
            given = {name: interfaces[owner] for name, owner in single.imported.items()}
            try:
                build(single.specification, given, open_interface)
            except SpecificationError as error:
                for problem in error.found:
                    yield Problem(key, f"'{branch}' alone, in place of '{joint.merge}': {problem}")
