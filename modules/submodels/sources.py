"""Makes a `.keras` file of an application or a preset, so that everything else sees only files.

An application is an architecture of keras.applications, a preset a backbone of KerasHub's.
"""

import inspect
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError, UserError, first_line, suggestion
from tfx_fusion.modules.files import whole_file
from tfx_fusion.modules.keras_compat import fresh_layer_names, hub_preset_loader
from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.spec.submodel import TEXTS
from tfx_fusion.modules.submodels.stored_config import (
    check_code,
    check_names,
    import_hub,
    stored_objects,
)
from tfx_fusion.modules.submodels.text_preset import load_preprocessor, with_text

# Random weights are the same ones each time they are made: a digest is taken of them.
SEED = 0
# Seconds without an answer after which a download is given up. Keras itself would wait for ever.
DOWNLOAD_TIMEOUT = 20
# What `from_preset` takes beside the arguments of the backbone's class.
FROM_PRESET = ("load_weights", "dtype", "name", "trainable")


def write_model(submodel: Submodel, file: Path) -> None:
    """Writes the file whole or not at all.

    Raises SpecificationError, with keys below the sub-model's, where the model cannot be made.
    """
    keras.utils.set_random_seed(SEED)
    new = _new_application if submodel.application is not None else _new_backbone
    with fresh_layer_names(), _download_timeout():
        model = new(submodel)
    try:
        with whole_file(file) as aside:
            model.save(aside)
    except Exception as error:
        raise SpecificationError(
            f"{submodel.source[0]}: {file}: it cannot be written: {first_line(error)}"
        ) from error


@contextmanager
def _download_timeout() -> Iterator[None]:
    # Neither Keras nor KerasHub takes a timeout; they download through sockets of this default.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _new_application(submodel: Submodel) -> keras.Model:
    """The model that `application`, `config` and `weights` describe.

    A model expects its images as its own `preprocess_input` gives them, of which an image feature
    can give what its `range` says: [-1, 1] for MobileNet, MobileNetV2, Inception*, Xception,
    NASNet* and ResNet*V2; [0, 255] for EfficientNet*, MobileNetV3* and ConvNeXt*, which scale by
    themselves. DenseNet*, VGG* and ResNet* shift each channel by a mean of its own.

    Raises SpecificationError, with keys below the sub-model's, for a name or an argument that Keras
    does not have, and for weights that cannot be fetched or do not fit.
    """
    name, config, weights = submodel.application or "", submodel.config, submodel.source[1]
    function = _application(name)
    _check_arguments(name, function, config)
    from_imagenet = weights is None and submodel.weights != "random"
    # Keras compares sizes with tuples of its own.
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in config.items()}
    try:
        model = function(weights="imagenet" if from_imagenet else None, **arguments)
    except Exception as error:
        if from_imagenet and _is_download_error(error):
            raise SpecificationError(
                f"weights: imagenet: the weights of {name} cannot be fetched: "
                f"{first_line(error)}; try again where there is a network, or name a local "
                "file of weights, or write weights: random"
            ) from error
        raise SpecificationError(
            f"config: keras.applications.{name} refuses it: {first_line(error)}"
        ) from error
    if weights is not None:
        _load_weights(name, model, weights)
    return model


def _application(name: str) -> Callable[..., keras.Model]:
    functions = {key: f for key, f in vars(keras.applications).items() if inspect.isfunction(f)}
    if name not in functions:
        raise SpecificationError(
            f"application: keras.applications has no '{name}'; {suggestion(name, functions)}"
        )
    return functions[name]


def _check_arguments(name: str, function: Callable[..., Any], config: dict[str, Any]) -> None:
    known = set(inspect.signature(function).parameters) - {"input_tensor", "weights"}
    problems = [
        f"config.{key}: {name} takes no such argument; {suggestion(key, known)}"
        if key != "weights"
        else "config.weights: 'weights' stands beside 'config', not in it"
        for key in config
        if key not in known
    ]
    if config.get("include_top") is False and "input_shape" not in config:
        problems.append(
            "config.input_shape: this key is missing: without its top a model has no size of its "
            "own; write the shape of the image feature, as [96, 96, 3]"
        )
    if problems:
        raise SpecificationError(problems)


def _is_download_error(error: Exception) -> bool:
    """Keras raises a bare Exception for a failed download, OSError for one that breaks off."""
    return isinstance(error, OSError) or "fetch failure" in str(error)


def _load_weights(name: str, model: keras.Model, file: Path) -> None:
    try:
        model.load_weights(file)
    except Exception as error:
        raise SpecificationError(
            f"weights: {file}: the weights do not fit {name} with this config: {first_line(error)}"
        ) from error


def _new_backbone(submodel: Submodel) -> keras.Model:
    """The backbone that `preset` and `config` describe, loaded in Keras's safe mode.

    A preset comes from outside, from a folder as well as by name: its architecture is checked
    before anything of it is made, and what was checked is what is made.

    Raises SpecificationError, with keys below the sub-model's, for a preset that is unknown, cannot
    be had, is damaged or holds code, and for arguments that its class does not have.
    """
    hub = import_hub()
    preset, local = submodel.preset or "", submodel.source[1] is not None
    loader = _checked_loader(hub, preset, local)
    try:
        backbone_class = loader.check_backbone_class()
    except Exception as error:
        raise SpecificationError(f"preset: {preset}: {first_line(error)}") from error
    if not issubclass(backbone_class, hub.models.Backbone):
        raise SpecificationError(
            f"preset: {preset}: expected a backbone of KerasHub's, found "
            f"{backbone_class.__name__}: save it by model.save('model.keras') and name it by "
            "'path'"
        )
    takes_text = not set(TEXTS).isdisjoint(submodel.inputs)
    load_weights, arguments = _preset_arguments(backbone_class, submodel.config, takes_text)
    length = arguments.pop("sequence_length", None) if takes_text else None
    try:
        model = loader.load_backbone(backbone_class, load_weights, **arguments)
    except Exception as error:
        raise SpecificationError(
            f"preset: {preset}: KerasHub cannot load {backbone_class.__name__}: "
            f"{first_line(error)}; {_preset_advice(local)}"
        ) from error
    if submodel.task is None and not takes_text:
        return model
    for file in ("tokenizer.json", "preprocessor.json", "task.json"):
        _check_part(Path(preset, file))
    if submodel.task is not None:
        model = _text_embedder(hub, preset, model)
    if not takes_text:
        return model
    layout = Path(preset) if local and "model_type" in loader.config else None
    preprocessor = load_preprocessor(hub, preset, submodel.task)
    return with_text(model, preprocessor, submodel.inputs, layout, length)


def _text_embedder(hub: Any, preset: str, backbone: keras.Model) -> keras.Model:
    """A backbone with the pooling and normalization that its preset says."""
    try:
        task = hub.models.TextEmbedder.from_preset(preset, backbone=backbone, preprocessor=None)
    except Exception as error:
        raise SpecificationError(
            f"task: KerasHub has no sentence embedder of the preset {preset}: {first_line(error)}"
        ) from error
    return keras.Model(task.input, {"embedding": task.output}, name=backbone.name)


def _check_part(file: Path) -> None:
    """Raises SpecificationError where a part of a local preset holds code or foreign classes."""
    if not file.is_file():
        return
    try:
        config = json.loads(file.read_bytes())
        check_code(str(file), config)
        check_names(str(file), config)
    except (ValueError, UserError) as error:
        raise SpecificationError(f"preset: {file}: {first_line(error)}") from error
    for stored in stored_objects(config):
        if stored.is_foreign:
            raise SpecificationError(
                f"preset: {file}: it holds the class {stored.name}, which is neither Keras's nor "
                "KerasHub's"
            )


def _checked_loader(hub: Any, preset: str, local: bool) -> Any:
    """KerasHub's loader of a preset, of which only the architecture has been read, and checked."""
    names = hub.models.Backbone.presets
    if not local and "://" not in preset and preset not in names:
        raise SpecificationError(
            f"preset: KerasHub has none of the name '{preset}' (a folder is written with a "
            f"slash: ./{preset}); {suggestion(preset, names)}"
        )
    try:
        loader = hub_preset_loader(preset)
    except Exception as error:
        raise SpecificationError(
            f"preset: {preset}: it cannot be read: {first_line(error)}; {_preset_advice(local)}"
        ) from error
    try:
        check_code(preset, loader.config)
        check_names(preset, loader.config)
    except UserError as error:
        raise SpecificationError(f"preset: {error}") from error
    for stored in stored_objects(loader.config):
        if stored.is_foreign:
            raise SpecificationError(
                f"preset: {preset}: it holds the class {stored.name}, which is neither Keras's nor "
                "KerasHub's: save the model by model.save('model.keras'), name it by 'path' and "
                "list the class in custom_objects"
            )
    return loader


def _preset_advice(local: bool) -> str:
    if local:
        return "expected a folder that save_to_preset of KerasHub wrote: write it again"
    return (
        "try again where there is a network, or name a local folder that save_to_preset of "
        "KerasHub wrote"
    )


def _preset_arguments(
    backbone_class: Any, config: dict[str, Any], takes_text: bool
) -> tuple[bool, dict[str, Any]]:
    """What `load_weights` says, and the arguments of the class."""
    known = {*inspect.signature(backbone_class.__init__).parameters, *FROM_PRESET}
    known -= {"self", "args", "kwargs"}
    if takes_text:
        known.add("sequence_length")
    problems = [
        f"config.{key}: {backbone_class.__name__} takes no such argument; {suggestion(key, known)}"
        for key in config
        if key not in known
    ]
    load_weights = config.get("load_weights", True)
    if not isinstance(load_weights, bool):
        problems.append(f"config.load_weights: expected true or false, found {load_weights!r}")
    length = config.get("sequence_length", 1)
    if takes_text and (not isinstance(length, int) or length < 1):
        problems.append(f"config.sequence_length: expected a whole number from 1, found {length!r}")
    if problems:
        raise SpecificationError(problems)
    return load_weights, {key: value for key, value in config.items() if key != "load_weights"}
