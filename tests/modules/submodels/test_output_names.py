"""Every output can be named, whatever layers and keys of dictionaries are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer

ROWS = {f"q{n}": np.random.default_rng(n).normal(size=(3, 4)).astype("float32") for n in range(3)}


def entries() -> list[Any]:
    return [keras.Input((4,), name=name) for name in ROWS]


def siamese() -> keras.Model:
    a, b, _ = entries()
    score = keras.layers.Dense(2, name="score")
    return keras.Model([a, b], [score(a), score(b)])


def nested() -> keras.Model:
    a, b, c = entries()
    dense = keras.layers.Dense
    return keras.Model({"p": [a, b], "r": c}, {"o": [dense(2)(a), dense(2)(b)], "z": dense(2)(c)})


def lists_in_lists() -> keras.Model:
    a, b, c = entries()
    dense = keras.layers.Dense
    return keras.Model([a, [b, c]], [dense(2)(a), [dense(2)(b), {"k": dense(2)(c)}]])


def odd_characters() -> keras.Model:
    a, *_ = entries()
    dense = keras.layers.Dense
    wrapped = keras.layers.TimeDistributed(dense(2, name="x y"), name="z-z")
    steps = keras.layers.Reshape((2, 2))(a)
    return keras.Model(
        a,
        {"a b": dense(2, name="my dense")(a), "c/d": dense(2, name="e:f")(a),
         "g.h": wrapped(steps), "i-j": dense(2, name="ä")(a)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (siamese, ["score_0", "score_1"]),
        (nested, ["o.0", "o.1", "z"]),
        (lists_in_lists, ["0", "1.0", "1.1.k"]),
        (odd_characters, ["a b", "c/d", "g.h", "i-j"]),
    ],
)
def test_each_output_gives_what_the_model_gives(
    make: Any, names: list[str], tmp_path: Path
) -> None:
    model = make()
    model.save(tmp_path / "model.keras")
    inputs = keras.tree.map_structure(lambda tensor: ROWS[tensor.name], model.input)

    interface = inspect_submodel(tmp_path / "model.keras").interface
    layer = SubmodelLayer(tmp_path / "model.keras", names, None, "sub")
    # In a graph: TensorFlow takes fewer characters in names there.
    found = tf.function(lambda given: layer(given))({name: ROWS[name] for name in interface.inputs})

    assert list(interface.outputs) == names
    for name, wanted in zip(names, keras.tree.flatten(model(inputs)), strict=True):
        np.testing.assert_allclose(found[name], wanted, rtol=1e-6, atol=1e-6)


def test_layers_with_odd_characters_are_cut_at_and_unfrozen_by_their_own_names(
    tmp_path: Path,
) -> None:
    model = odd_characters()
    model.save(tmp_path / "model.keras")

    layer = SubmodelLayer(tmp_path / "model.keras", ["my dense", "c/d"], None, "sub")
    layer.unfreeze(["e:f"])

    assert [v.shape for v in layer.trainable_variables] == [(4, 2), (2,)]
    assert {"my dense/kernel", "e:f/bias"} <= layer.named_weights().keys()
    found = layer({"q0": ROWS["q0"]})
    np.testing.assert_allclose(found["my dense"], model(ROWS["q0"])["a b"], rtol=1e-6, atol=1e-6)
