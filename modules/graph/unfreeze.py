"""Which weights of a sub-model a stage unfreezes, by name; told from the interface alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Specification, Unfreeze
from tfx_fusion.modules.submodels.interface import Interface


def chosen_layers(
    key: str, interface: Interface, taps: Iterable[str], unfreeze: Unfreeze
) -> list[str]:
    """The layers (variables of a SavedModel) that are unfrozen, in the order of the data.

    Only layers with weights that compute some of the taps count. Raises SpecificationError where
    a pattern matches none, or there are fewer layers than `last` asks for.
    """
    names = list(interface.weights_of(taps))
    kind = "variables" if interface.format == "saved_model" else "layers with weights"
    if unfreeze.all:
        if not names:
            raise SpecificationError([f"{key}: the sub-model has no {kind} to unfreeze"])
        return names
    if unfreeze.last is not None:
        if unfreeze.last > len(names):
            raise SpecificationError(
                [f"{key}.last: expected at most {len(names)} ({kind}), found {unfreeze.last}"]
            )
        return names[-unfreeze.last :]
    chosen: set[str] = set()
    for pattern in unfreeze.layers or ():
        matching = {name for name in names if fnmatchcase(name, pattern)}
        if not matching:
            raise SpecificationError(
                [f"{key}.layers: '{pattern}' matches no {kind}; {suggestion(pattern, names)}"]
            )
        chosen |= matching
    return [name for name in names if name in chosen]


def check_stages(
    specification: Specification,
    interfaces: Mapping[str, Interface],
    taps: Mapping[str, list[str]],
    head_trains: bool,
) -> None:
    """Raises SpecificationError for a stage that unfreezes what is not there, or trains nothing.

    `head_trains` tells whether the graph has new layers with weights.
    """
    for position, stage in enumerate(specification.training.stages):
        key = f"training.stages.{position}.unfreeze"
        for name, unfreeze in stage.unfreeze.items():
            if name not in interfaces:
                raise SpecificationError(
                    [f"{key}.{name}: no sub-model has this name; {suggestion(name, interfaces)}"]
                )
            chosen_layers(f"{key}.{name}", interfaces[name], taps[name], unfreeze)
        if not stage.unfreeze and not head_trains:
            raise SpecificationError(
                [
                    f"training.stages.{position}: the stage '{stage.name}' trains nothing: add new "
                    "layers to the graph, or unfreeze a sub-model"
                ]
            )
