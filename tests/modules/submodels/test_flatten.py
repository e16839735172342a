"""Inside nested models: cuts, weights and training modes of their layers, by path.

The oracles are the whole model of Keras, called with `training=False`, and `keras.Model`s made by
hand inside the nested ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer

layers = keras.layers


def numbers(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def stir(model: keras.Model) -> keras.Model:
    """Gives every weight a value of its own, as training would; variances stay positive."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        positive = "variance" in weight.path
        weight.assign(random.uniform(0.2 if positive else -0.8, 0.8, weight.shape))
    return model


def functional_backbone(name: str = "backbone") -> keras.Model:
    """Holds a nested model of its own, and what must stay still when frozen."""
    block_entry = keras.Input((5,), name="block_entry")
    block = keras.Model(block_entry, layers.Dense(5, name="conv")(block_entry), name="block")
    entry = keras.Input((4,), name="backbone_entry")
    tensor = layers.Dense(5, activation="relu", name="conv")(entry)
    tensor = layers.BatchNormalization(name="norm")(tensor)
    tensor = layers.Dropout(0.5, name="drop")(tensor)
    tensor = layers.Add(name="sum")([tensor, block(tensor)])
    return keras.Model(entry, layers.Dense(3, activation="tanh", name="end")(tensor), name=name)


def sequential_backbone() -> keras.Model:
    """Saved without an Input, as many are."""
    return keras.Sequential(
        [
            layers.Dense(5, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(3, activation="tanh", name="end"),
        ],
        name="backbone",
    )


def transfer_learned(backbone: keras.Model) -> keras.Model:
    entry = keras.Input((4,), name="picture")
    tensor = backbone(layers.Rescaling(0.5, name="scale")(entry))
    tensor = layers.Dense(2, activation="softmax", name="top")(tensor)
    return stir(keras.Model(entry, tensor, name="whole"))


def by_hand(model: keras.Model, *path: str) -> keras.Model:
    """The part of a nested model before and with one layer, cut with Keras alone."""
    nested = model
    for name in path[:-1]:
        nested = nested.get_layer(name)
    return keras.Model(nested.inputs, nested.get_layer(path[-1]).output)


def opened(model: keras.Model, folder: Path, *taps: str) -> SubmodelLayer:
    model.save(folder / "model.keras")
    return SubmodelLayer(folder / "model.keras", list(taps), None, "wrapped")


def interface_of(model: keras.Model, folder: Path) -> Any:
    model.save(folder / "model.keras")
    return inspect_submodel(folder / "model.keras").interface


BACKBONES = [functional_backbone, sequential_backbone]


# ---------------------------------------------------------------------------------- interface


def test_the_layers_inside_are_known_by_their_paths_beside_the_nested_model_as_a_whole(
    tmp_path: Path,
) -> None:
    model = transfer_learned(functional_backbone())

    interface = interface_of(model, tmp_path)

    assert set(interface.inputs) == {"picture"}
    assert list(interface.outputs) == ["top"]
    assert set(interface.cuts) == {
        "scale", "backbone", "top", "backbone/conv", "backbone/norm", "backbone/drop",
        "backbone/block", "backbone/block/conv", "backbone/sum", "backbone/end",
    }  # fmt: skip
    assert str(interface.cuts["backbone/block/conv"]) == "(5) float32"
    assert interface.cuts["backbone"].activation == "tanh"
    assert interface.cuts["backbone/conv"].activation == "relu"
    assert interface.parameters == model.count_params()


def test_a_cut_inside_counts_the_parameters_of_what_computes_it(tmp_path: Path) -> None:
    interface = interface_of(transfer_learned(functional_backbone()), tmp_path)

    dense, norm, block, end, top = 4 * 5 + 5, 4 * 5, 5 * 5 + 5, 5 * 3 + 3, 3 * 2 + 2
    assert interface.weights_of(["top"]) == {
        "backbone/conv": dense, "backbone/norm": norm, "backbone/block/conv": block,
        "backbone/end": end, "top": top,
    }  # fmt: skip
    assert list(interface.weights_of(["backbone"])) == list(interface.weights_of(["top"]))[:-1]
    assert interface.weights_of(["backbone/drop"]) == {
        "backbone/conv": dense, "backbone/norm": norm,
    }  # fmt: skip


def test_an_output_of_a_nested_model_that_is_not_taken_counts_nothing(tmp_path: Path) -> None:
    entry = keras.Input((4,), name="entry")
    twins = [layers.Dense(1, name="one")(entry), layers.Dense(4, name="four")(entry)]
    inner = keras.Model(entry, twins, name="inner")
    outer = keras.Input((4,), name="outer_entry")
    model = keras.Model(outer, layers.Dense(2, name="top")(inner(outer)[1]))

    interface = interface_of(model, tmp_path)

    assert list(interface.weights_of(["top"])) == ["inner/four", "top"]
    # A nested model of two outputs is no single place; its layers are.
    assert set(interface.cuts) == {"inner/one", "inner/four", "top"}


def test_a_layer_of_a_nested_model_called_twice_is_no_place_to_cut(tmp_path: Path) -> None:
    encoder = functional_backbone("encoder")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    distance = layers.Subtract(name="distance")([encoder(left), encoder(right)])

    interface = interface_of(keras.Model([left, right], distance), tmp_path)

    assert set(interface.cuts) == {"distance"}
    assert set(interface.weights_of(["distance"])) == {
        "encoder/conv", "encoder/norm", "encoder/block/conv", "encoder/end",
    }  # fmt: skip


# ------------------------------------------------------------------------- the same computation


@pytest.mark.parametrize("make", BACKBONES)
@pytest.mark.parametrize("cut", ["conv", "norm", "drop", "end"])
def test_a_cut_inside_gives_what_a_model_made_by_hand_inside_gives(
    make: Callable[[], keras.Model], cut: str, tmp_path: Path
) -> None:
    model = transfer_learned(make())
    inside = by_hand(model, "backbone", cut)
    layer = opened(model, tmp_path, f"backbone/{cut}", "top")

    for training in (False, True):  # BatchNorm and Dropout stay in inference mode in both
        given = layer({"picture": numbers(6, 4)}, training=training)
        wanted = inside(0.5 * numbers(6, 4), training=False)
        np.testing.assert_allclose(given[f"backbone/{cut}"], wanted, rtol=0, atol=1e-6)
        whole = model(numbers(6, 4), training=False)
        np.testing.assert_allclose(given["top"], whole, rtol=0, atol=1e-6)


def test_a_cut_carries_nothing_that_lies_behind_it(tmp_path: Path) -> None:
    model = transfer_learned(functional_backbone())
    layer = opened(model, tmp_path, "backbone/norm")

    wanted = by_hand(model, "backbone", "norm").get_weights()

    assert len(layer.weights) == len(wanted) == 6
    for weight, value in zip(layer.weights, wanted, strict=True):
        np.testing.assert_array_equal(weight, value)


def siamese() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """A nested model called twice, of which each call takes the other's output too."""
    encoder = functional_backbone("encoder")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    widen = layers.Dense(4, name="widen")
    tensor = encoder(layers.Subtract(name="both")([right, widen(encoder(left))]))
    model = keras.Model([left, right], layers.Dense(2, name="top")(widen(tensor)))
    return model, {"left": numbers(6, 4), "right": 0.1 * numbers(6, 4, seed=2)}


def masked() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Masks made outside and used inside, and the other way round."""
    inner_entry = keras.Input((None, 3), name="inner_entry")
    sequence = layers.LSTM(4, return_sequences=True, name="inner_lstm")(inner_entry)
    recurrent = keras.Model(inner_entry, sequence, name="recurrent")
    words_entry = keras.Input((6,), dtype="int32", name="words_entry")
    embedded = layers.Embedding(9, 3, mask_zero=True, name="embedded")(words_entry)
    reader = keras.Model(words_entry, embedded, name="reader")
    words = keras.Input((6,), dtype="int32", name="words")
    model = keras.Model(words, layers.LSTM(2, name="top")(recurrent(reader(words))))
    return model, {"words": np.array([[1, 2, 3, 0, 0, 0], [4, 0, 5, 6, 7, 8]], "int32")}


def masked_aside() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """A mask that is an argument of the call of a nested model, in place of the tensor's own."""
    inner_entry = keras.Input((6, 3), name="inner_entry")
    inner = keras.Model(inner_entry, layers.LSTM(4, name="lstm")(inner_entry), name="inner")
    steps = keras.Input((6, 3), name="steps")
    keep = keras.Input((6,), dtype="bool", name="keep")
    tensor = inner(layers.Masking(0.0, name="masking")(steps), mask=keep)
    model = keras.Model([steps, keep], layers.Dense(2, name="top")(tensor))
    kept = np.arange(6) < np.array([[2], [5]])
    return model, {"steps": numbers(2, 6, 3), "keep": kept}


def with_arguments() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Calls with more than a tensor, several outputs, and operations that are no layers."""
    steps = keras.Input((5, 4), name="steps")
    start = keras.Input((4,), name="start")
    attention = layers.MultiHeadAttention(2, 3, name="attention")
    seen, scores = attention(steps, steps * 2.0, return_attention_scores=True, use_causal_mask=True)
    states = layers.LSTM(4, return_state=True, name="lstm")(seen, initial_state=[start, -start])
    inner = keras.Model(
        {"steps": steps, "start": start}, {"states": states[2], "scores": scores}, name="inner"
    )
    outer = {"start": keras.Input((4,), name="start"), "steps": keras.Input((5, 4), name="steps")}
    given = inner(outer)
    top = keras.ops.concatenate(
        [given["states"], layers.Flatten(name="flat")(given["scores"])], axis=-1
    )
    model = keras.Model(outer, layers.Dense(2, name="top")(top))
    return model, {"steps": numbers(3, 5, 4), "start": numbers(3, 4)}


def converted() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Nested models that take another dtype, and another rank, than they are given."""
    pixels_entry = keras.Input((4,), name="pixels_entry")
    pixels = keras.Model(pixels_entry, layers.Dense(3, name="dense")(pixels_entry), name="pixels")
    flat_entry = keras.Input((), name="flat_entry")
    flat = keras.Model(flat_entry, layers.Rescaling(3.0, name="triple")(flat_entry), name="flat")
    image = keras.Input((4,), dtype="uint8", name="image")
    number = keras.Input((1,), name="number")
    joined = [pixels(image), layers.Reshape((1,), name="wide")(flat(number))]
    model = keras.Model([image, number], layers.Concatenate(name="top")(joined))
    image_rows = np.random.default_rng(4).integers(0, 255, (3, 4)).astype("uint8")
    return model, {"image": image_rows, "number": numbers(3, 1)}


@pytest.mark.parametrize("make", [siamese, masked, masked_aside, with_arguments, converted])
def test_the_whole_gives_what_keras_gives(
    make: Callable[[], tuple[keras.Model, dict[str, np.ndarray]]], tmp_path: Path
) -> None:
    model, inputs = make()
    model = stir(model)

    given = opened(model, tmp_path, "top")(inputs)["top"]

    wanted = np.asarray(model(inputs, training=False))
    assert np.ptp(wanted, axis=0).max() > 1e-3  # the rows differ, or the comparison says little
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-5)


def test_a_nested_model_that_takes_another_dtype_can_be_cut_as_well(tmp_path: Path) -> None:
    model, inputs = converted()
    inside = by_hand(model, "pixels", "dense")

    given = opened(model, tmp_path, "pixels/dense")(inputs)["pixels/dense"]

    wanted = inside(inputs["image"].astype("float32"))
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-4)
    assert set(interface_of(model, tmp_path).cuts) == {
        "pixels/dense", "pixels", "flat/triple", "flat", "wide", "top",
    }  # fmt: skip


# ----------------------------------------------------------------- two nested models of equal names


def two_of_a_kind() -> keras.Model:
    entry = keras.Input((4,), name="picture")
    tensors = [functional_backbone(name)(entry) for name in ("left", "right")]
    # An outer layer may even be named as a nested one is inside.
    top = layers.Dense(2, name="conv")(layers.Add(name="left.conv")(tensors))
    return stir(keras.Model(entry, top))


@pytest.mark.parametrize("side", ["left", "right"])
def test_equal_names_inside_two_nested_models_do_not_clash(side: str, tmp_path: Path) -> None:
    model = two_of_a_kind()
    inside = by_hand(model, side, "conv")
    layer = opened(model, tmp_path, f"{side}/conv", "conv")

    given = layer({"picture": numbers(6, 4)})

    np.testing.assert_allclose(given[f"{side}/conv"], inside(numbers(6, 4)), rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        given["conv"], model(numbers(6, 4), training=False), rtol=0, atol=1e-6
    )
    layer.unfreeze([f"{side}/conv"])
    trained = [np.asarray(variable) for variable in layer.trainable_variables]
    for value, wanted in zip(
        trained, model.get_layer(side).get_layer("conv").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_digest_and_the_check_see_the_weights_of_both(side: str, tmp_path: Path) -> None:
    model = two_of_a_kind()
    model.save(tmp_path / "before.keras")
    kernel = model.get_layer(side).get_layer("conv").kernel
    kernel.assign(np.nextafter(np.asarray(kernel), np.float32(2)))
    model.save(tmp_path / "after.keras")
    kernel.assign(np.full(kernel.shape, np.nan, "float32"))
    model.save(tmp_path / "damaged.keras")

    digests = {inspect_submodel(tmp_path / f"{name}.keras").digest for name in ("before", "after")}

    assert len(digests) == 2
    with pytest.raises(UserError, match=r"the weight 'conv/kernel(_\d)?' has 20 values that are"):
        inspect_submodel(tmp_path / "damaged.keras")


# ------------------------------------------------------------------------------- models of classes

CUSTOM_MODULE = """
import keras

class Scorer(keras.Model):
    def __init__(self, units=2, **options):
        super().__init__(**options)
        self.units = units
        self.score = keras.layers.Dense(units)
        self.activation = keras.activations.relu

    def call(self, steps):
        return -self.activation(self.score(steps))

    def get_config(self):
        return {**super().get_config(), "units": self.units}

class Doubler(keras.Model):
    '''A functional model whose own call does more than its graph.'''
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)
"""


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_classes.py").write_text(CUSTOM_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.reload(importlib.import_module("own_classes"))


def test_a_nested_model_with_a_call_of_its_own_stays_whole(classes: Any, tmp_path: Path) -> None:
    inner_entry = keras.Input((4,), name="inner_entry")
    doubler = classes.Doubler(
        inner_entry, layers.Dense(3, name="dense")(inner_entry), name="doubler"
    )
    scorer = classes.Scorer(name="scorer")
    entry = keras.Input((4,), name="entry")
    model = keras.Model(entry, layers.Dense(2, name="top")(scorer(doubler(entry))))
    model.save(tmp_path / "model.keras")
    own = ["own_classes:Scorer", "own_classes:Doubler"]

    interface = inspect_submodel(tmp_path / "model.keras", None, own).interface
    layer = SubmodelLayer(tmp_path / "model.keras", ["scorer", "top"], None, "wrapped", own)
    layer.unfreeze(["scorer/score"], training_mode=True)

    assert set(interface.cuts) == {"doubler", "scorer", "top"}
    assert interface.cuts["scorer"].activation is None
    assert list(interface.weights_of(["top"])) == ["doubler/dense", "scorer/score", "top"]
    assert [v.path.rpartition("/")[2] for v in layer.trainable_variables] == ["kernel", "bias"]
    for training in (False, True):
        given = layer({"entry": numbers(6, 4)}, training=training)
        np.testing.assert_allclose(given["scorer"], scorer(doubler(numbers(6, 4))), atol=1e-6)
        np.testing.assert_allclose(given["top"], model(numbers(6, 4)), atol=1e-6)


def test_a_functional_model_with_a_call_of_its_own_is_called_by_it(
    classes: Any, tmp_path: Path
) -> None:
    entry = keras.Input((4,), name="entry")
    model = classes.Doubler(entry, layers.Dense(3, name="dense")(entry), name="doubler")
    model.save(tmp_path / "model.keras")
    own = ["own_classes:Doubler"]

    interface = inspect_submodel(tmp_path / "model.keras", None, own).interface
    layer = SubmodelLayer(tmp_path / "model.keras", ["doubler"], None, "wrapped", own)

    assert list(interface.inputs) == ["entry"]
    assert set(interface.cuts) == {"doubler"}
    given = layer({"entry": numbers(6, 4)})["doubler"]
    np.testing.assert_allclose(given, 2 * model.get_layer("dense")(numbers(6, 4)), atol=1e-6)
