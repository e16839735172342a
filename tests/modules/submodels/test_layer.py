"""A sub-model as a layer: exactly the pretrained model, in inference mode whatever happens around.

The oracle is the pretrained Keras model itself, called with `training=False` by hand.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer

TAPS = ["features", "scores"]
FORMATS = ["keras", "saved_model"]


@pytest.fixture(scope="module")
def pretrained() -> keras.Model:
    """Has what must stay still when frozen: Dropout, and BatchNorm with moving statistics."""
    keras.utils.set_random_seed(11)
    entry = keras.Input((4,), name="entry")
    tensor = keras.layers.Dense(5, name="wide")(entry)
    tensor = keras.layers.BatchNormalization(name="norm")(tensor)
    tensor = keras.layers.Dropout(0.5, name="drop")(tensor)
    features = keras.layers.Dense(3, activation="tanh", name="features")(tensor)
    scores = keras.layers.Dense(2, activation="softmax", name="scores")(features)
    model = keras.Model(entry, {"features": features, "scores": scores}, name="pretrained")
    model.get_layer("norm").set_weights(
        [np.linspace(start, stop, 5, dtype="float32") for start, stop in
         ((0.5, 2), (-1, 1), (-2, 2), (0.1, 3))]
    )  # fmt: skip
    return model


@pytest.fixture(scope="module")
def paths(pretrained: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pretrained")
    pretrained.save(folder / "pretrained.keras")
    pretrained.export(folder / "exported", verbose=False)
    return {"keras": folder / "pretrained.keras", "saved_model": folder / "exported"}


@pytest.fixture(params=FORMATS)
def layer(request: pytest.FixtureRequest, paths: dict[str, Path]) -> SubmodelLayer:
    return SubmodelLayer(paths[request.param], TAPS, None, "wrapped")


def numbers(rows: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype("float32")


def snapshot(layer: SubmodelLayer) -> list[bytes]:
    return [np.asarray(weight).tobytes() for weight in layer.weights]


def surrounded(layer: SubmodelLayer) -> keras.Model:
    """A trainable layer before the sub-model and one behind it."""
    entry = keras.Input((4,), name="outer_entry")
    before = keras.layers.Dense(4, name="before")(entry)
    features = layer({"entry": before})["features"]
    return keras.Model(entry, keras.layers.Dense(1, name="behind")(features), name="outer")


# ------------------------------------------------------------------------- the same computation


def test_it_gives_what_the_pretrained_model_gives(
    layer: SubmodelLayer, pretrained: keras.Model
) -> None:
    wanted = pretrained(numbers(), training=False)

    given = layer({"entry": numbers()})

    assert list(given) == TAPS
    for tap in TAPS:
        np.testing.assert_allclose(given[tap], wanted[tap], rtol=0, atol=1e-6)


def test_it_gives_only_the_taps_asked_for(paths: dict[str, Path], pretrained: keras.Model) -> None:
    for path in paths.values():
        given = SubmodelLayer(path, ["scores"], None, "wrapped")({"entry": numbers()})

        assert list(given) == ["scores"]
        wanted = pretrained(numbers(), training=False)["scores"]
        np.testing.assert_allclose(given["scores"], wanted, rtol=0, atol=1e-6)


def test_a_keras_model_can_be_cut_at_an_inner_layer(
    paths: dict[str, Path], pretrained: keras.Model
) -> None:
    layer = SubmodelLayer(paths["keras"], ["norm"], None, "wrapped")
    by_hand = keras.Model(pretrained.input, pretrained.get_layer("norm").output)

    given = layer({"entry": numbers()})["norm"]

    np.testing.assert_allclose(given, by_hand(numbers(), training=False), rtol=0, atol=1e-6)
    # Nothing behind the cut is carried along.
    assert len(layer.weights) == len(by_hand.weights)


@pytest.mark.parametrize("with_input", [True, False], ids=["with an Input", "without an Input"])
def test_a_sequential_takes_any_batch_and_can_be_cut(with_input: bool, tmp_path: Path) -> None:
    entry = [keras.Input((4,), name="entry")] if with_input else []
    model = keras.Sequential(
        [*entry, keras.layers.Dense(3, name="hidden"), keras.layers.Dense(1, name="score")]
    )
    model(numbers(1))
    model.save(tmp_path / "sequential.keras")
    layer = SubmodelLayer(tmp_path / "sequential.keras", ["hidden", "score"], None, "wrapped")
    [entry_name] = inspect_submodel(tmp_path / "sequential.keras").interface.inputs

    given = layer({entry_name: numbers(5)})

    np.testing.assert_allclose(given["score"], model(numbers(5)), rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        given["hidden"], model.get_layer("hidden")(numbers(5)), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_a_model_around_a_nested_one_can_be_cut_behind_it(kind: str, tmp_path: Path) -> None:
    inner_entry, dense, drop = keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)
    if kind == "functional":
        inner = keras.Model(inner_entry, drop(dense(inner_entry)), name="backbone")
    else:
        inner = keras.Sequential([inner_entry, dense, drop], name="backbone")
    entry = keras.Input((4,), name="picture")
    outer = keras.Model(entry, keras.layers.Dense(2, name="top")(inner(entry)))
    outer.save(tmp_path / "outer.keras")
    layer = SubmodelLayer(tmp_path / "outer.keras", ["backbone", "top"], None, "wrapped")

    given = layer({"picture": numbers()}, training=True)

    np.testing.assert_allclose(
        given["backbone"], inner(numbers(), training=False), rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(given["top"], outer(numbers(), training=False), rtol=0, atol=1e-6)


def test_a_signature_picks_what_a_savedmodel_computes(tmp_path: Path) -> None:
    class Arithmetic(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 1), tf.float32, name="number")])
        def double(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"answer": number * 2.0}

        @tf.function(input_signature=[tf.TensorSpec((None, 1), tf.float32, name="number")])
        def halve(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"answer": number / 2.0}

    module = Arithmetic()
    signatures = {"double": module.double, "halve": module.halve}
    tf.saved_model.save(module, str(tmp_path / "arithmetic"), signatures)

    layer = SubmodelLayer(tmp_path / "arithmetic", ["answer"], "halve", "wrapped")

    assert layer({"number": np.array([[3.0]], "float32")})["answer"].numpy() == [[1.5]]
    with pytest.raises(UserError, match="name one by the key 'signature'"):
        SubmodelLayer(tmp_path / "arithmetic", ["answer"], None, "wrapped")


def test_two_layers_from_one_file_share_no_memory(paths: dict[str, Path]) -> None:
    for path in paths.values():
        one, other = (SubmodelLayer(path, TAPS, None, name) for name in ("one", "other"))
        before = snapshot(other)

        one.weights[0].assign(np.zeros(one.weights[0].shape))

        assert snapshot(other) == before


# ---------------------------------------------------------------------------- frozen, in any mode


def test_a_nested_frozen_model_still_drops_out(
    pretrained: keras.Model,
) -> None:
    """Neither `trainable = False` nor a recorded `training=False` keeps Keras's Dropout still."""
    frozen = keras.models.clone_model(pretrained)
    frozen.set_weights(pretrained.get_weights())
    frozen.trainable = False
    entry = keras.Input((4,))
    outer = keras.Model(entry, frozen(entry, training=False)["features"])

    at_rest = outer(numbers(), training=False)
    under_fit = outer(numbers(), training=True)

    np.testing.assert_array_equal(at_rest, frozen(numbers(), training=False)["features"])
    assert np.abs(np.asarray(under_fit) - np.asarray(at_rest)).max() > 0.1


def test_the_training_mode_of_the_surrounding_model_changes_nothing(layer: SubmodelLayer) -> None:
    entry = keras.Input((4,))
    outer = keras.Model(entry, layer({"entry": entry}))

    at_rest = outer(numbers(), training=False)
    under_fit = outer(numbers(), training=True)

    for tap in TAPS:
        np.testing.assert_array_equal(at_rest[tap], under_fit[tap])


def test_all_weights_are_there_and_none_is_trainable(
    layer: SubmodelLayer, pretrained: keras.Model
) -> None:
    assert layer.trainable_weights == []
    # Moving statistics are weights too: 4 of BatchNorm, 2 of each Dense.
    assert len(layer.weights) == len(pretrained.weights) == 10
    assert sorted(np.asarray(weight).tobytes() for weight in layer.weights) == sorted(
        np.asarray(weight).tobytes() for weight in pretrained.weights
    )


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_fit_trains_around_the_sub_model_and_leaves_it_bit_for_bit(
    layer: SubmodelLayer, optimizer: str
) -> None:
    outer = surrounded(layer)
    before = snapshot(layer)
    around = [np.asarray(weight) for weight in outer.trainable_weights]
    outer.compile(optimizer, "mse")

    outer.fit(numbers(64), numbers(64, seed=2)[:, :1], epochs=2, batch_size=8, verbose=0)

    assert snapshot(layer) == before
    assert [weight.path for weight in outer.trainable_weights] == [
        "before/kernel", "before/bias", "behind/kernel", "behind/bias",
    ]  # fmt: skip
    moved = [
        not np.array_equal(old, new)
        for old, new in zip(around, outer.trainable_weights, strict=True)
    ]
    assert moved == [True] * 4


def test_the_loss_under_fit_is_the_loss_at_rest(layer: SubmodelLayer) -> None:
    # With Dropout at work, a loss in training would differ from the one by hand.
    outer = surrounded(layer)
    outer.compile(keras.optimizers.SGD(0.0), "mse")
    rows, targets = numbers(32), numbers(32, seed=2)[:, :1]
    by_hand = float(np.mean((np.asarray(outer(rows, training=False)) - targets) ** 2))

    history = outer.fit(rows, targets, batch_size=32, verbose=0)

    assert history.history["loss"] == [pytest.approx(by_hand, rel=1e-5)]


def test_the_gradient_flows_through_the_frozen_model_as_by_hand(
    layer: SubmodelLayer, pretrained: keras.Model
) -> None:
    outer = surrounded(layer)
    before, behind = outer.get_layer("before"), outer.get_layer("behind")
    rows, targets = numbers(16), numbers(16, seed=2)[:, :1]

    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_mean((outer(rows, training=True) - targets) ** 2)
        features = pretrained(before(rows), training=False)["features"]
        loss_by_hand = tf.reduce_mean((behind(features) - targets) ** 2)
    wanted = [weight.value for weight in (*before.weights, *behind.weights)]
    given = tape.gradient(loss, wanted)
    by_hand = tape.gradient(loss_by_hand, wanted)

    assert float(loss) == pytest.approx(float(loss_by_hand), rel=1e-5)
    for one, other in zip(given, by_hand, strict=True):
        assert np.abs(np.asarray(one)).max() > 1e-4
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_unfreezing_the_surrounding_model_by_mistake_still_keeps_inference_mode(
    layer: SubmodelLayer,
) -> None:
    outer = surrounded(layer)
    at_rest = np.asarray(outer(numbers(), training=False))
    outer.trainable = True

    np.testing.assert_array_equal(outer(numbers(), training=True), at_rest)
