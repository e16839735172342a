"""Small pretrained models with one input and two layers, and specifications that join them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from specs import specification_of

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import SubmodelLayer

COLOURS = {"type": "category", "column": "colour", "classes": ["red", "green", "blue"]}
TWO_CLASSES = {"type": "category", "column": "kind", "classes": ["no", "yes"]}
NUMBER = {"type": "number", "column": "size"}
CROSSENTROPY = {"from": "scores", "loss": "categorical_crossentropy"}
SCORES = {"Dense": {"units": 3}}


def raw(*shape: int, dtype: str = "float32") -> dict[str, Any]:
    return {"type": "raw", "column": "any", "dtype": dtype, "shape": list(shape)}


def layers(*given: dict[str, Any] | str, inputs: str) -> dict[str, Any]:
    return {"layers": list(given), "inputs": inputs}


def specify(
    features: dict[str, Any],
    graph: dict[str, Any],
    submodels: dict[str, Any] | None = None,
    label: dict[str, Any] = COLOURS,
    output: dict[str, Any] = CROSSENTROPY,
) -> Specification:
    """A specification of one output, `answer`; the data and the training play no part here."""
    return specification_of(
        features=features,
        labels={"answer": label},
        submodels=submodels or {},
        graph=graph,
        outputs={"answer": output},
    )


def interfaces_of(specification: Specification) -> dict[str, Interface]:
    return {
        name: inspect_submodel(submodel.path, submodel.signature).interface
        for name, submodel in specification.submodels.items()
    }


def fuse(specification: Specification) -> FusedModel:
    """Built from the real sub-models."""

    def open_submodel(name: str, interface: Interface, taps: list[str]) -> SubmodelLayer:
        submodel = specification.submodels[name]
        return SubmodelLayer(submodel.path, taps, submodel.signature, name)

    return build(specification, interfaces_of(specification), open_submodel)


def sketch(specification: Specification) -> FusedModel:
    """Built from the interfaces alone."""
    return build(specification, interfaces_of(specification), open_interface)


def problems_of(specification: Specification) -> list[str]:
    """The problems; a check on interfaces and a build of the real models must say the same."""
    with pytest.raises(SpecificationError) as checked:
        sketch(specification)
    with pytest.raises(SpecificationError) as built:
        fuse(specification)
    assert checked.value.problems == built.value.problems
    return checked.value.problems


def rows(*shape: int, seed: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, *shape)).astype("float32")


def save_tower(path: Path, seed: int, last: str | None = None, name: str = "tower") -> Path:
    """A small pretrained model (4) → features (6) → scores (3), as `.keras` or SavedModel."""
    keras.utils.set_random_seed(seed)
    entry = keras.Input((4,), name="entry")
    tensor = keras.layers.BatchNormalization(name="norm")(entry)
    tensor = keras.layers.Dropout(0.5, name="drop")(tensor)
    features = keras.layers.Dense(6, activation="tanh", name="features")(tensor)
    scores = keras.layers.Dense(3, activation=last, name="scores")(features)
    model = keras.Model(entry, scores, name=name)
    model.get_layer("norm").set_weights(
        [rows(4, seed=seed + step)[0] ** 2 + 0.1 for step in range(4)]
    )
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


class Towers:
    """Paths of pretrained models to fuse."""

    def __init__(self, folder: Path) -> None:
        self.left = save_tower(folder / "left.keras", seed=1)
        # The names of the model and of every layer are those of the left one.
        self.right = save_tower(folder / "right.keras", seed=2)
        self.classifier = save_tower(folder / "classifier.keras", seed=3, last="softmax")
        self.saved_model = save_tower(folder / "saved_model", seed=4, last="softmax")


def submodel(path: Path, feature: str, **more: str) -> dict[str, Any]:
    return {"path": str(path), "inputs": {"entry": feature}, **more}


def pretrained(path: Path, layer: str) -> Callable[[Any], Any]:
    """By hand: the pretrained model up to a layer, in inference mode."""
    model = keras.saving.load_model(path)
    part = keras.Model(model.input, model.get_layer(layer).output)
    return lambda tensor: part(tensor, training=False)
