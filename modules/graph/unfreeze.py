"""Which weights of a sub-model a stage unfreezes, by name; the interface is enough for it."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Unfreeze
from tfx_fusion.modules.submodels.interface import Interface


def chosen_layers(
    key: str, interface: Interface, taps: Iterable[str], unfreeze: Unfreeze
) -> list[str]:
    """The layers (variables of a SavedModel) that are unfrozen, in the order of the data.

    Only layers with weights that compute some of the taps count.

    Raises SpecificationError with every pattern that matches none, or where there are fewer layers
    than `last` asks for.
    """
    names = list(interface.weights_of(taps))
    kind = "variables" if interface.format == "saved_model" else "layers with weights"
    if unfreeze.all:
        if not names:
            raise SpecificationError(f"{key}: the sub-model has no {kind} to unfreeze")
        return names
    if unfreeze.last is not None:
        if unfreeze.last > len(names):
            raise SpecificationError(
                f"{key}.last: expected at most {len(names)} ({kind}), found {unfreeze.last}"
            )
        return names[-unfreeze.last :]
    chosen: set[str] = set()
    problems = []
    for pattern in unfreeze.layers or ():
        matching = {name for name in names if fnmatchcase(name, pattern)}
        if not matching:
            problems.append(
                f"{key}.layers: '{pattern}' matches no {kind}; {suggestion(pattern, names)}"
            )
        chosen |= matching
    if problems:
        raise SpecificationError(problems)
    return [name for name in names if name in chosen]
