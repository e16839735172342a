"""Models of keras.applications as sub-models. The oracle is the model that Keras gives by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.build import build
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.spec import Specification, Submodel, Unfreeze
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.submodels.sources import write_model

SHAPE = (32, 32, 3)
CONFIG = {"input_shape": list(SHAPE), "include_top": False, "pooling": "avg", "alpha": 0.35}


def described(**changes: Any) -> Submodel:
    keys: dict[str, Any] = {
        "application": "MobileNetV2",
        "config": CONFIG,
        "weights": "random",
        "inputs": {"input_layer": "image"},
    }
    return Submodel(**{**keys, **changes})


def made(folder: Path, **changes: Any) -> Path:
    file = folder / "made.keras"
    write_model(described(**changes), file)
    return file


def refusals(folder: Path, **changes: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        write_model(described(**changes), folder / "made.keras")
    assert list(folder.glob("*.keras")) == []
    return caught.value.problems


@pytest.fixture(scope="module")
def by_hand() -> keras.Model:
    """Random weights, moving statistics included, so that a wrong mode or order would show."""
    model = keras.applications.MobileNetV2(
        input_shape=SHAPE, include_top=False, pooling="avg", alpha=0.35, weights=None
    )
    random = np.random.default_rng(2)
    model.set_weights([
        random.uniform(0.5, 1.5, w.shape) if "variance" in w.path
        else np.asarray(w) + random.normal(0, 0.05, w.shape) for w in model.weights
    ])  # fmt: skip
    return model


@pytest.fixture(scope="module")
def from_file(by_hand: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("application")
    by_hand.save_weights(folder / "trained.weights.h5")
    return made(folder, weights=str(folder / "trained.weights.h5"))


def images(rows: int = 3, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (rows, *shape)).astype("float32")


def answer(file: Path, tap: str, inputs: np.ndarray, training: bool = False) -> np.ndarray:
    layer = SubmodelLayer(file, [tap], None, "vision")
    return np.asarray(layer({"input_layer": inputs}, training=training)[tap])


def test_it_answers_as_the_same_model_by_hand_in_inference_mode_always(
    from_file: Path, by_hand: keras.Model
) -> None:
    expected = np.asarray(by_hand(images(), training=False))
    [output] = inspect_submodel(from_file).interface.outputs

    assert expected.std() > 0.01
    for training in (False, True):
        found = answer(from_file, output, images(), training)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_is_cut_at_an_inner_layer(from_file: Path, by_hand: keras.Model) -> None:
    inner = keras.Model(by_hand.input, by_hand.get_layer("block_2_add").output)

    np.testing.assert_allclose(
        answer(from_file, "block_2_add", images()), inner(images(), training=False), atol=1e-5
    )


def test_it_ends_frozen_in_a_fused_model(from_file: Path, by_hand: keras.Model) -> None:
    specification = Specification.model_validate({
        "name": "fused",
        "data": {"path": "rows.csv", "split": {"column": "split"}},
        "features": {
            "image": {"type": "image", "column": "image", "shape": SHAPE, "range": [-1, 1]},
        },
        "labels": {"kind": {"type": "category", "column": "kind", "classes": ["a", "b"]}},
        "submodels": {"vision": {"path": from_file, "inputs": {"input_layer": "image"}}},
        "graph": {"scores": {"layers": [{"Dense": {"units": 2}}], "inputs": "vision"}},
        "outputs": {"kind": {"from": "scores", "loss": "categorical_crossentropy"}},
        "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 1e-3}]},
        "publish": {"path": "serving"},
    })  # fmt: skip
    fused = build(
        specification,
        {"vision": inspect_submodel(from_file).interface},
        lambda name, _, taps: SubmodelLayer(from_file, taps, None, name),
    )
    [head] = fused.layers["scores"]

    found = fused.model({"image": images()}, training=True)["kind"]

    expected = keras.ops.softmax(head(by_hand(images(), training=False)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [v.path for v in fused.model.trainable_variables] == [v.path for v in head.weights]


def test_its_last_layers_learn_and_nothing_else_moves(from_file: Path) -> None:
    interface = inspect_submodel(from_file).interface
    [output] = interface.outputs
    layer = SubmodelLayer(from_file, [output], None, "vision")
    names = chosen_layers("key", interface, [output], Unfreeze(last=2))
    before = {weight.path: np.array(weight) for weight in layer.weights}

    layer.unfreeze(names)
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.ops.square(layer({"input_layer": images()})[output]))
    gradients = tape.gradient(loss, layer.trainable_variables)
    keras.optimizers.SGD(0.1).apply(gradients, layer.trainable_variables)

    assert names == ["Conv_1", "Conv_1_bn"]
    moved = {w.path for w in layer.weights if not np.array_equal(w, before[w.path])}
    assert moved == {"Conv_1/kernel", "Conv_1_bn/gamma", "Conv_1_bn/beta"}


def test_random_weights_are_the_same_ones_each_time(tmp_path: Path) -> None:
    first = inspect_submodel(made(tmp_path))
    keras.layers.Conv2D(1, 1)  # numbers the layers that follow otherwise
    keras.utils.set_random_seed(99)

    assert inspect_submodel(made(tmp_path)) == first
    assert list(first.interface.inputs) == ["input_layer"]


def test_weights_in_the_format_of_keras_2_do_too(by_hand: keras.Model, tmp_path: Path) -> None:
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    # As the files are that Keras itself downloads.
    with h5py.File(tmp_path / "trained.h5", "w") as file:
        save_weights_to_hdf5_group(file, by_hand)

    file = made(tmp_path, weights=str(tmp_path / "trained.h5"))

    [output] = inspect_submodel(file).interface.outputs
    np.testing.assert_allclose(
        answer(file, output, images()), by_hand(images(), training=False), atol=1e-5
    )


def test_with_its_top_it_has_a_size_and_classes(tmp_path: Path) -> None:
    config = {"alpha": 0.35, "classes": 3}
    interface = inspect_submodel(made(tmp_path, config=config)).interface

    assert interface.inputs["input_layer"].shape == (224, 224, 3)
    assert interface.outputs["predictions"].shape == (3,)
    assert interface.outputs["predictions"].activation == "softmax"


def test_a_misspelt_application_is_reported(tmp_path: Path) -> None:
    assert refusals(tmp_path, application="MobilNetV2") == [
        "application: keras.applications has no 'MobilNetV2'; did you mean 'MobileNetV2'?"
    ]
    # A module of the same package is no application.
    [problem] = refusals(tmp_path, application="imagenet_utils")
    assert problem.startswith("application: keras.applications has no 'imagenet_utils'; ")


def test_every_wrong_argument_is_reported(tmp_path: Path) -> None:
    config = {"alpah": 0.35, "weights": "imagenet", "input_tensor": 1, "include_top": False}

    problems = refusals(tmp_path, config=config)

    assert problems[0] == "config.alpah: MobileNetV2 takes no such argument; did you mean 'alpha'?"
    assert problems[1] == "config.weights: 'weights' stands beside 'config', not in it"
    assert problems[2].startswith("config.input_tensor: MobileNetV2 takes no such argument; ")
    assert problems[3] == (
        "config.input_shape: this key is missing: without its top a model has no size of its own; "
        "write the shape of the image feature, as [96, 96, 3]"
    )
    assert len(problems) == 4


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({**CONFIG, "input_shape": [16, 16, 3]}, "Input size must be at least 32x32"),
        ({**CONFIG, "input_shape": 32}, ""),
        ({**CONFIG, "alpha": "wide"}, ""),
    ],
)
def test_what_keras_refuses_is_reported(
    config: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    [problem] = refusals(tmp_path, config=config)

    assert problem.startswith(f"config: keras.applications.MobileNetV2 refuses it: {reason}")
    assert not problem.endswith(": ")


def test_weights_that_do_not_fit_are_reported(from_file: Path, tmp_path: Path) -> None:
    weights = from_file.parent / "trained.weights.h5"
    [problem] = refusals(tmp_path, weights=str(weights), config={**CONFIG, "alpha": 0.5})

    start = f"weights: {weights}: the weights do not fit MobileNetV2 with this config: "
    assert problem.startswith(start)
    assert len(problem) > len(start)


def test_a_damaged_file_of_weights_is_reported(tmp_path: Path) -> None:
    weights = tmp_path / "damaged.weights.h5"
    weights.write_bytes(b"no weights at all")

    [problem] = refusals(tmp_path, weights=str(weights))

    assert problem.startswith(f"weights: {weights}: the weights do not fit MobileNetV2")
