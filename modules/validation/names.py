"""What can be seen of a whole specification without Keras: that all its parts fit one another."""

from collections.abc import Iterable, Iterator
from graphlib import CycleError

from tfx_fusion.modules.errors import Problem, suggestion
from tfx_fusion.modules.spec import (
    TOKENS,
    Fusion,
    length_name,
    logged,
    logged_twice,
    may_be_missing,
    variable_sequences,
)
from tfx_fusion.modules.spec.load import NAMED
from tfx_fusion.modules.spec.topology import in_order, references, source_of, upstream
from tfx_fusion.modules.validation.data import data_problems
from tfx_fusion.modules.validation.evaluation import evaluation_problems
from tfx_fusion.modules.validation.outputs import output_problems
from tfx_fusion.modules.validation.part import buildable_part

RESERVED = {"row_id": "every message identifies a row by it"}


def specification_problems(
    specification: Fusion, invalid: frozenset[str] = frozenset()
) -> list[Problem]:
    """Everything that does not fit together and can be seen without Keras.

    Args:
        specification: one whose parts are valid one by one.
        invalid: the keys of parts left out of it (`ReadSpecification`); what these may define or
            use is not reported as undefined or unused.
    """
    found = [
        *_name_problems(specification),
        *_reference_problems(specification),
        *_cycle_problems(specification),
        *_logged_problems(specification),
        *_missing_problems(specification),
        *data_problems(specification),
        *output_problems(specification),
        *evaluation_problems(specification),
        *_unfreeze_problems(specification),
    ]
    if {key.partition(".")[0] for key in invalid}.isdisjoint({*NAMED, "evaluation"}):
        return [*found, *_unused_problems(specification), *_monitor_problems(specification)]
    # Where a whole section is invalid, any name may be defined there.
    names = {key.partition(".")[2] for key in invalid}
    return [
        problem
        for problem in found
        if not problem.undefined or (invalid.isdisjoint(NAMED) and problem.undefined not in names)
    ]


def _kinds(specification: Fusion) -> list[tuple[str, Iterable[str]]]:
    """What the graph is made of; their names are different."""
    return [
        ("features", specification.features),
        ("submodels", specification.submodels),
        ("graph", specification.graph),
    ]


def _name_problems(specification: Fusion) -> Iterator[Problem]:
    places: dict[str, str] = {}
    lengths = {length_name(name): name for name in variable_sequences(specification.features)}
    for kind, names in (*_kinds(specification), ("labels", specification.labels)):
        for name in names:
            if name in RESERVED:
                yield Problem(
                    f"{kind}.{name}", f"the name is reserved: {RESERVED[name]}; rename it"
                )
            if name in lengths:
                yield Problem(
                    f"{kind}.{name}",
                    f"the name is reserved for the number of steps of the variable sequence "
                    f"'{lengths[name]}'; rename one of the two",
                )
            # A label may have the name of a sub-model or node: rows hold neither.
            other = places.get(name)
            if other and (kind != "labels" or other == "features"):
                yield Problem(f"{kind}.{name}", f"{other} has the same name; rename one of the two")
            places.setdefault(name, kind)
    imported = [name for name, item in specification.submodels.items() if item.same_as is None]
    for name, submodel in specification.submodels.items():
        source = submodel.same_as
        if source is not None and source not in imported:
            message = f"no '{source}' is imported; {suggestion(source, imported)}"
            yield Problem(f"submodels.{name}.same_as", message, undefined=source)


def _reference_problems(specification: Fusion) -> Iterator[Problem]:
    known = {name for _, names in _kinds(specification) for name in names}
    for key, _, reference in references(specification):
        source = source_of(reference)
        if source not in known:
            message = f"nothing is named '{source}'; {suggestion(source, known)}"
            yield Problem(key, message, undefined=source)
        elif source in specification.features:
            given = specification.features[source].references(source)
            if reference not in given:
                several = ", ".join(TOKENS) if len(given) > 1 else "only one output"
                wanted = " or ".join(f"'{name}'" for name in given)
                yield Problem(key, f"'{source}' has {several}: write {wanted}")
        elif "." in reference and source not in specification.submodels:
            yield Problem(key, f"'{source}' has only one output: write '{source}'")


def _cycle_problems(specification: Fusion) -> Iterator[Problem]:
    try:
        in_order(specification)
    except CycleError as error:
        cycle = " → ".join(error.args[1])
        yield Problem("graph", f"the graph has a cycle: {cycle}; remove one of these connections")


def _missing_problems(specification: Fusion) -> Iterator[Problem]:
    part = buildable_part(specification)
    known = upstream(part)
    ends = dict.fromkeys(source_of(reference) for _, _, reference in part.ends())
    for name in may_be_missing(part.features):
        for end in ends:
            if known[end] == {name}:
                yield Problem(
                    f"features.{name}.missing",
                    f"'{end}' is computed from nothing but this feature, so no row that lacks it "
                    "can be predicted: join another feature to it, or take the key away",
                )


def _unused_problems(specification: Fusion) -> Iterator[Problem]:
    used = {source_of(reference) for _, _, reference in references(specification)}
    used |= {name for names in specification.evaluation.sliced_by() for name in names}
    for kind, names in _kinds(specification):
        for name in names:
            if name not in used:
                yield Problem(f"{kind}.{name}", "nothing uses it; connect it or remove it")
    learned = {specification.label_name(name) for name in specification.outputs}
    for name in specification.labels:
        if name not in learned:
            yield Problem(f"labels.{name}", "no output learns it; add an output or remove it")


def _unfreeze_problems(specification: Fusion) -> Iterator[Problem]:
    imported = [name for name, item in specification.submodels.items() if item.same_as is None]
    for position, stage in enumerate(specification.training.stages):
        for name in stage.unfreeze:
            if name not in imported:
                yield Problem(
                    f"training.stages.{position}.unfreeze.{name}",
                    f"no sub-model has this name; {suggestion(name, imported)}",
                    undefined=name,
                )


def _logged_problems(specification: Fusion) -> Iterator[Problem]:
    for name in logged_twice(specification):
        yield Problem(
            "outputs",
            f"two losses or metrics would both be logged as '{name}': rename one of their outputs",
        )


def _monitor_problems(specification: Fusion) -> Iterator[Problem]:
    known = logged(specification)
    for position, stage in enumerate(specification.training.stages):
        monitor = stage.early_stopping.monitor if stage.early_stopping else "loss"
        if monitor not in known:
            yield Problem(
                f"training.stages.{position}.early_stopping.monitor",
                f"nothing is measured as '{monitor}'; {suggestion(monitor, known)}",
            )
