"""What of a specification can still be built, so that one problem does not hide the others."""

from collections.abc import Collection
from graphlib import CycleError
from typing import Any

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.spec import Feature, Fusion
from tfx_fusion.modules.spec.topology import downstream, in_order, references, source_of


def without(specification: Fusion, names: Collection[str]) -> Fusion:
    """A specification without some vertices, and without all that is computed from them.

    An output goes by `outputs.NAME`, as in `ends()`. None of the names need exist.
    """
    left_out = downstream(specification, names)
    outputs = {
        name: output
        for name, output in specification.outputs.items()
        if f"outputs.{name}" not in left_out and source_of(output.from_) not in left_out
    }

    def rest(parts: dict[str, Any]) -> dict[str, Any]:
        return {name: part for name, part in parts.items() if name not in left_out}

    return specification.changed(
        features=rest(specification.features),
        submodels=rest(specification.submodels),
        graph=rest(specification.graph),
        outputs=outputs,
    )


def buildable_part(specification: Fusion) -> Fusion:
    """A specification without what leads to no name, to two, to no label, or in a cycle.

    Nor with a text whose vocabulary cannot be read: it says how many words there are.
    """
    kinds = (specification.features, specification.submodels, specification.graph)
    names = [name for kind in kinds for name in kind]
    imported = {name for name, part in specification.submodels.items() if part.same_as is None}
    undefined = {source_of(reference) for _, _, reference in references(specification)}
    left_out = [
        *undefined.difference(names),
        *(name for name in names if names.count(name) > 1),
        *(name for name in specification.submodels if specification.owner(name) not in imported),
        *(name for name, feature in specification.features.items() if not _has_shape(feature)),
        *(
            f"outputs.{name}"
            for name in specification.outputs
            if specification.label_name(name) not in specification.labels
        ),
    ]
    part = without(specification, left_out)
    while True:
        try:
            in_order(part)
        except CycleError as error:
            part = without(part, error.args[1])
        else:
            return part


def _has_shape(feature: Feature) -> bool:
    try:
        feature.tensors("")
    except UserError:
        return False
    return True
