"""Models of keras.applications by name: ImageNet's architectures, with weights or without."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError, first_line, suggestion
from tfx_fusion.modules.spec import Submodel


def new_application(submodel: Submodel) -> keras.Model:
    """The model that `application`, `config` and `weights` describe.

    A model wants its images as its own `preprocess_input` gives them. Only what `range` of an image
    feature says can be had: [-1, 1] for MobileNet, MobileNetV2, Inception*, Xception, NASNet* and
    ResNet*V2; [0, 255] for EfficientNet*, MobileNetV3* and ConvNeXt*, which scale by themselves.
    DenseNet*, VGG* and ResNet* want each channel shifted by itself.

    Raises SpecificationError, with keys below the sub-model's, for a name or an argument that Keras
    does not have, and for weights that are not to be had or do not fit.
    """
    name, config, weights = submodel.application or "", submodel.config, submodel.source[1]
    function = _function(name)
    _check_arguments(name, function, config)
    from_imagenet = weights is None and submodel.weights != "random"
    # Keras compares sizes with tuples of its own.
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in config.items()}
    try:
        model = function(weights="imagenet" if from_imagenet else None, **arguments)
    except Exception as error:
        if from_imagenet and _is_of_the_network(error):
            raise SpecificationError(
                [
                    f"weights: imagenet: the weights of {name} cannot be fetched: "
                    f"{first_line(error)}; try again where there is a network, or name a local "
                    "file of weights, or write weights: random"
                ]
            ) from error
        raise SpecificationError(
            [f"config: keras.applications.{name} refuses it: {first_line(error)}"]
        ) from error
    if weights is not None:
        _load_weights(name, model, weights)
    return model


def _function(name: str) -> Callable[..., keras.Model]:
    known = {key: f for key, f in vars(keras.applications).items() if inspect.isfunction(f)}
    if name not in known:
        raise SpecificationError(
            [f"application: keras.applications has no '{name}'; {suggestion(name, known)}"]
        )
    return known[name]


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


def _is_of_the_network(error: Exception) -> bool:
    """Keras tells a failed download by a bare Exception; one that breaks off, by an OSError."""
    return isinstance(error, OSError) or "fetch failure" in str(error)


def _load_weights(name: str, model: keras.Model, file: Path) -> None:
    try:
        model.load_weights(file)
    except Exception as error:
        raise SpecificationError(
            [
                f"weights: {file}: the weights do not fit {name} with this config: "
                f"{first_line(error)}"
            ]
        ) from error
