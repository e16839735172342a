"""Backbones from KerasHub's presets: by name, by handle, or from a folder."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError, UserError, first_line, suggestion
from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.submodels.archive import check_code
from tfx_fusion.modules.submodels.custom import foreign_classes
from tfx_fusion.modules.submodels.hub import import_hub

# What `from_preset` takes beside the arguments of the backbone's class.
FROM_PRESET = ("load_weights", "dtype", "name", "trainable")


def new_backbone(submodel: Submodel) -> keras.Model:
    """The backbone that `preset` and `config` describe, loaded in Keras's safe mode.

    A preset comes from outside, from a folder as well as by name: its architecture is checked
    before anything of it is made, and what was checked is what is made.

    Raises SpecificationError, with keys below the sub-model's, for a preset that is unknown, cannot
    be had, is damaged or holds code, and for arguments that its class does not have.
    """
    hub = import_hub()
    preset, local = submodel.preset or "", submodel.source[1] is not None
    loader = _open(hub, preset, local)
    try:
        backbone_class = loader.check_backbone_class()
    except Exception as error:
        raise SpecificationError([f"preset: {preset}: {first_line(error)}"]) from error
    if not issubclass(backbone_class, hub.models.Backbone):
        raise SpecificationError(
            [
                f"preset: {preset}: expected a backbone of KerasHub's, found "
                f"{backbone_class.__name__}: save it by model.save('model.keras') and name it by "
                "'path'"
            ]
        )
    load_weights, arguments = _arguments(backbone_class, submodel.config)
    try:
        return loader.load_backbone(backbone_class, load_weights, **arguments)
    except Exception as error:
        raise SpecificationError(
            [
                f"preset: {preset}: KerasHub cannot load {backbone_class.__name__}: "
                f"{first_line(error)}; {_advice(local)}"
            ]
        ) from error


def _open(hub: Any, preset: str, local: bool) -> Any:
    """KerasHub's loader of a preset, of which only the architecture has been read, and checked."""
    names = hub.models.Backbone.presets
    if not local and "://" not in preset and preset not in names:
        raise SpecificationError(
            [
                f"preset: KerasHub has none of the name '{preset}' (a folder is written with a "
                f"slash: ./{preset}); {suggestion(preset, names)}"
            ]
        )
    # Not among KerasHub's exports: `from_preset` would make the model before it can be checked.
    from keras_hub.src.utils.preset_utils import get_preset_loader

    try:
        loader = get_preset_loader(preset)
    except Exception as error:
        raise SpecificationError(
            [f"preset: {preset}: it cannot be read: {first_line(error)}; {_advice(local)}"]
        ) from error
    try:
        check_code(preset, loader.config)
    except UserError as error:
        raise SpecificationError([f"preset: {error}"]) from error
    for class_name, _ in foreign_classes(loader.config):
        raise SpecificationError(
            [
                f"preset: {preset}: it holds the class {class_name}, which is neither Keras's nor "
                "KerasHub's: save the model by model.save('model.keras'), name it by 'path' and "
                "list the class in custom_objects"
            ]
        )
    return loader


def _advice(local: bool) -> str:
    if local:
        return "expected a folder that save_to_preset of KerasHub wrote: write it again"
    return (
        "try again where there is a network, or name a local folder that save_to_preset of "
        "KerasHub wrote"
    )


def _arguments(backbone_class: Any, config: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """What `load_weights` says, and the arguments of the class."""
    known = {*inspect.signature(backbone_class.__init__).parameters, *FROM_PRESET}
    known -= {"self", "args", "kwargs"}
    problems = [
        f"config.{key}: {backbone_class.__name__} takes no such argument; {suggestion(key, known)}"
        for key in config
        if key not in known
    ]
    load_weights = config.get("load_weights", True)
    if not isinstance(load_weights, bool):
        problems.append(f"config.load_weights: expected true or false, found {load_weights!r}")
    if problems:
        raise SpecificationError(problems)
    return load_weights, {key: value for key, value in config.items() if key != "load_weights"}
