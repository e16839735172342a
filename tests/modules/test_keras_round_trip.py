"""A fused model, and each of our layers, comes out of a `.keras` file as it went in."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

import tfx_fusion.modules
from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.evaluation.measure_ablation import Constant
from tfx_fusion.modules.graph.build import FusedModel, build
from tfx_fusion.modules.graph.layers import Cast, InterfaceLayer, StepMask
from tfx_fusion.modules.graph.merges import MERGES, new_merge
from tfx_fusion.modules.graph.merges.vectors import VectorMerge
from tfx_fusion.modules.graph.missing import Absence, Finite, Replacement, Substitute
from tfx_fusion.modules.graph.outputs import LabelUnits, Prediction
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.flatten import Entry
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import SubmodelLayer, UpperPart
from tfx_fusion.modules.submodels.text_input import TextInput
from tfx_fusion.modules.training.embedded import WithMask

FRESH = """
import sys, keras, numpy
import tfx_fusion.modules.graph.build
import tfx_fusion.modules.submodels.layer
[inputs, *files] = sys.argv[1:]
for file in files:
    model = keras.saving.load_model(file)
    result = {"answer": model(dict(numpy.load(inputs)))["answer"]}
    for kind in ("trainable", "non_trainable"):
        for n, weight in enumerate(getattr(model, f"{kind}_weights")):
            result[f"{kind} {n}"] = weight.numpy()
    numpy.savez(file + ".npz", **result)
"""


def save_tower(path: Path, seed: int, dtype: str = "float32") -> Path:
    """(4) → a nested model (6) → scores (3), with Dropout and moving statistics."""
    keras.utils.set_random_seed(seed)
    inside = keras.Input((4,), name="inside", dtype="float32")
    tensor = keras.layers.BatchNormalization(name="norm")(inside)
    tensor = keras.layers.Dense(6, activation="tanh", name="features")(tensor)
    nested = keras.Model(inside, tensor, name="nested")
    entry = keras.Input((4,), name="entry", dtype=dtype)
    tensor = keras.layers.Dropout(0.5, name="drop")(nested(entry))
    keras.Model(entry, keras.layers.Dense(3, name="scores")(tensor), name="tower").save(path)
    return path


def fuse(folder: Path) -> FusedModel:
    """Two towers: the feature of `a` may be missing, that of `b` is cast, and once more inside."""
    towers = {
        "a": save_tower(folder / "a.keras", 1),
        "b": save_tower(folder / "b.keras", 2, "float16"),
    }
    raw = {"type": "raw", "column": "any", "dtype": "float32", "shape": [4]}
    specification = Specification.model_validate(
        {
            "name": "saved",
            "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": {
                "one": {**raw, "missing": {"drop": 0.5}},
                "other": raw,
            },
            "labels": {"answer": {"type": "category", "column": "c", "classes": ["x", "y", "z"]}},
            "submodels": {
                "a": {"path": str(towers["a"]), "inputs": {"entry": "one"}},
                "b": {"path": str(towers["b"]), "inputs": {"entry": "other"}, "output": "nested"},
            },
            "graph": {
                "narrow": {"layers": [{"Dense": {"units": 3}}], "inputs": "b"},
                "joined": {"merge": "concatenate", "inputs": ["a", "narrow"]},
                "scores": {"layers": [{"Dense": {"units": 3}}], "inputs": "joined"},
            },
            "outputs": {"answer": {"from": "scores", "loss": "categorical_crossentropy"}},
            "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 0.1}]},
            "publish": {"path": "serving"},
        }
    )
    interfaces = {name: inspect_submodel(path).interface for name, path in towers.items()}

    def open_submodel(name: str, interface: Interface, taps: list[str]) -> SubmodelLayer:
        return SubmodelLayer(towers[name], taps, None, name)

    return build(specification, interfaces, open_submodel)


INPUTS = {
    "one": np.random.default_rng(1).normal(size=(5, 4)).astype("float32"),
    "other": np.random.default_rng(2).normal(size=(5, 4)).astype("float32"),
    "one.missing": np.array([0, 1, 0, 0, 1]),
}


def test_fused_models_loaded_in_a_fresh_process_are_the_same(tmp_path: Path) -> None:
    models = {}
    for name, unfrozen in (("frozen", []), ("in_part", ["nested/features"])):
        fused = fuse(tmp_path)
        fused.submodels["b"].unfreeze(unfrozen)
        fused.replacements["a"].vector.assign([1.0, 2.0, 3.0])
        models[tmp_path / f"{name}.keras"] = fused.model
        fused.model.save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "inputs.npz", **INPUTS)  # type: ignore[arg-type]

    command = [sys.executable, "-c", FRESH, tmp_path / "inputs.npz", *models]
    subprocess.run(list(map(str, command)), check=True)

    for file, model in models.items():
        found = dict(np.load(f"{file}.npz"))
        np.testing.assert_allclose(found.pop("answer"), model(INPUTS)["answer"], rtol=0, atol=1e-6)
        wanted = {
            f"{kind} {n}": np.asarray(weight)
            for kind in ("trainable", "non_trainable")
            for n, weight in enumerate(getattr(model, f"{kind}_weights"))
        }
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("merge", sorted(set(MERGES) - {"dot"}))
def test_every_merge_is_saved_with_its_weights(merge: str, tmp_path: Path) -> None:
    rows = [np.random.default_rng(seed).normal(size=(5, 4)).astype("float32") for seed in (3, 4)]
    entries = [keras.Input((4,)), keras.Input((4,))]
    config = {"attention": {"heads": 2}, "concatenate": {"axis": 1}}.get(merge, {})
    model = keras.Model(entries, new_merge(merge, "joined", config)(entries))
    model.save(tmp_path / "merge.keras")

    again = keras.saving.load_model(tmp_path / "merge.keras")

    np.testing.assert_array_equal(again(rows), model(rows))


def test_a_layer_partly_in_training_mode_is_so_again(tmp_path: Path) -> None:
    layer = fuse(tmp_path).submodels["a"]
    layer.unfreeze(["nested/norm"], training_mode=True)

    again = SubmodelLayer.from_config(layer.get_config())
    again.set_weights(layer.get_weights())
    rows = {"entry": INPUTS["one"]}
    before = [np.asarray(weight) for weight in again.weights]
    again(rows, training=True)

    # Statistics of the batch enter the moving ones only in training mode.
    moved = [
        weight.path.rpartition("/")[2]
        for old, weight in zip(before, again.weights, strict=True)
        if not np.array_equal(old, weight)
    ]
    assert sorted(moved) == ["moving_mean", "moving_variance"]
    assert list(again.frozen_variables()) != []
    assert len(again.trainable_weights) == len(layer.trainable_weights) == 2


def test_a_loaded_layer_can_be_cut_and_unfrozen_as_the_first(tmp_path: Path) -> None:
    layer = fuse(tmp_path).submodels["a"]
    again = SubmodelLayer.from_config(layer.get_config())
    again.set_weights(layer.get_weights())
    embedding = np.random.default_rng(5).normal(size=(5, 6)).astype("float32")

    again.unfreeze(["scores"])

    assert list(again.named_weights()) == list(layer.named_weights())
    assert [w.name for w in again.trainable_weights] == ["kernel", "bias"]
    np.testing.assert_array_equal(
        again.above(["nested"])({"nested": embedding})["scores"],
        layer.above(["nested"])({"nested": embedding})["scores"],
    )


def test_masks_inside_a_sub_model_reach_the_same_layers_again(tmp_path: Path) -> None:
    inside = keras.Input((3, 1))
    nested = keras.Model(inside, keras.layers.GRU(2, return_sequences=True, name="first")(inside))
    entry = keras.Input((3, 1), name="steps")
    steps = nested(keras.layers.Masking(-1.0, name="masking")(entry))
    model = keras.Model(entry, keras.layers.GRU(2, name="last")(steps))
    model.save(tmp_path / "masked.keras")
    padded = np.array([[[1.0], [2.0], [-1.0]], [[3.0], [-1.0], [-1.0]]], "float32")
    layer = SubmodelLayer(tmp_path / "masked.keras", ["last"], None, "masked")

    again = SubmodelLayer.from_config(layer.get_config())
    again.set_weights(layer.get_weights())

    for one in (layer, again):
        np.testing.assert_allclose(one({"steps": padded})["last"], model(padded), atol=1e-6)


def test_the_part_above_a_cut_is_saved_too(tmp_path: Path) -> None:
    layer = fuse(tmp_path).submodels["a"]
    layer.unfreeze(["scores"])
    entry = keras.Input((6,))
    model = keras.Model(entry, layer.above(["nested"])({"nested": entry}))
    model.save(tmp_path / "upper.keras")
    embedding = np.random.default_rng(5).normal(size=(5, 6)).astype("float32")

    again = keras.saving.load_model(tmp_path / "upper.keras")

    np.testing.assert_array_equal(again(embedding)["scores"], model(embedding)["scores"])
    assert len(again.trainable_weights) == len(model.trainable_weights) == 2


def test_trainable_from_outside_unfreezes_nothing_that_is_frozen_by_name(tmp_path: Path) -> None:
    fused = fuse(tmp_path)
    fused.submodels["a"].unfreeze(["scores"])
    before = [weight.path for weight in fused.model.trainable_weights]

    fused.model.trainable = True
    assert [weight.path for weight in fused.model.trainable_weights] == before
    fused.model.trainable = False
    assert fused.model.trainable_weights == []


def test_a_savedmodel_inside_is_refused_with_the_way_out(
    shared_world: Path, tmp_path: Path
) -> None:
    layer = SubmodelLayer(shared_world / "models" / "text", ["features"], None, "text")
    entry = keras.Input((6,), name="tokens")
    model = keras.Model({"tokens": entry}, layer({"tokens": entry}))

    with pytest.raises(UserError) as caught:
        model.save(tmp_path / "never.keras")

    assert str(caught.value) == (
        "the sub-model 'text' is a SavedModel, which a .keras file cannot hold: use the SavedModel "
        "that the pipeline publishes, or model.export()"
    )


# ------------------------------------------------------------------------------ each of our layers


def our_layers() -> set[type[keras.layers.Layer]]:
    found = set()
    for module in pkgutil.walk_packages(tfx_fusion.modules.__path__, "tfx_fusion.modules."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if (
                inspect.isclass(value)
                and issubclass(value, keras.layers.Layer)
                and value.__module__ == module.name
                and not value.__name__.startswith("_")
                and value is not VectorMerge  # merges are made of it, and it is none itself
            ):
                found.add(value)
    return found


MADE: dict[type, Callable[[Path], keras.layers.Layer]] = {
    Absence: lambda _: Absence(0.25, "absent"),
    Replacement: lambda _: Replacement("mean", "replaced"),
    Substitute: lambda _: Substitute("made_up", whole=3),
    Finite: lambda _: Finite("finite"),
    Cast: lambda _: Cast("int32", name="cast"),
    StepMask: lambda _: StepMask(dtype="float32", name="mask"),
    Prediction: lambda _: Prediction("softmax", name="y.prediction"),
    LabelUnits: lambda _: LabelUnits("y.units"),
    Entry: lambda _: Entry("int32", 3, "entry"),
    TextInput: lambda _: TextInput("{}", 4, {"ids": ("ids", "int32")}, name="text"),
    Constant: lambda _: Constant(np.array([1.5, 2.5], "float32")),
    WithMask: lambda _: WithMask(name="masked"),
    InterfaceLayer: lambda folder: InterfaceLayer(
        inspect_submodel(save_tower(folder / "t.keras", 1)).interface, ["scores"], "standing_in"
    ),
    SubmodelLayer: lambda folder: SubmodelLayer(
        save_tower(folder / "t.keras", 1), ["scores"], None, "sub"
    ),
    UpperPart: lambda folder: SubmodelLayer(
        save_tower(folder / "t.keras", 1), ["scores"], None, "sub"
    ).above(["nested"]),
    **{
        type(new_merge(name, "joined", {})): lambda _, name=name: new_merge(name, "joined", {})
        for name in ("attention", "bilinear", "gated")
    },
}


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_a_layer_is_registered_and_made_again_from_its_config(kind: type, tmp_path: Path) -> None:
    layer = MADE[kind](tmp_path)

    stored = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(stored)

    assert stored["registered_name"] == f"tfx_fusion>{kind.__name__}"
    assert type(again) is kind
    assert again.name == layer.name
    assert len(again.weights) == len(layer.weights)
    if kind not in (SubmodelLayer, UpperPart):  # Keras notes memory addresses of dtypes in these
        assert again.get_config() == layer.get_config()


def test_every_layer_of_ours_is_tried_here() -> None:
    assert {kind.__name__ for kind in our_layers()} == {kind.__name__ for kind in MADE}
