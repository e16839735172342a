"""A sub-model made by transfer learning: cut, unfrozen and trained inside its nested backbone."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from specs import rewritten

from tfx_fusion.modules.embedding.plan import LearnsFrom
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.build import FusedModel, build
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.training.data import Epochs
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.stage_data import StageData
from tfx_fusion.modules.training.train import seed_everything, train

STAGE = "{name: head, epochs: 3, learning_rate: 1e-2}"
OUTPUT = "inputs: {image: image}, output: features}"


@pytest.fixture
def nested_world(world: Path) -> Path:
    """The small world, its image network in a backbone with another output layer behind it."""
    path = world / "models" / "vision.keras"
    vision = keras.saving.load_model(path)
    backbone = keras.Model(vision.input, vision.get_layer("features").output, name="backbone")
    image = keras.Input((8, 8, 3), name="image")
    scores = keras.layers.Dense(3, activation="softmax", name="top")(backbone(image))
    keras.Model(image, scores, name="vision").save(path)
    return world


def specify(world: Path, output: str, stage: str = STAGE) -> Specification:
    changes = (OUTPUT, OUTPUT.replace("features", output)), (STAGE, stage)
    return rewritten(world / "fusion.yaml", *changes)


def fuse(specification: Specification) -> tuple[FusedModel, dict[str, Interface]]:
    keras.backend.clear_session()
    seed_everything(specification.training.seed)
    paths = {name: path for name, (_, path) in specification.imported().items()}
    interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}
    fused = build(
        specification,
        interfaces,
        lambda name, _, taps: SubmodelLayer(paths[name], taps, None, name),
    )
    return fused, interfaces


def pictures(rows: int = 32) -> np.ndarray:
    return np.random.default_rng(2).random((rows, 8, 8, 3)).astype("float32")


def trained(specification: Specification) -> tuple[set[str], TrainingRecord]:
    """The variables of the image network that training moved, and what it says it did."""
    fused, interfaces = fuse(specification)
    random = np.random.default_rng(11)
    features = {"image": pictures(), "words": random.integers(0, 2, (32, 6)).astype("float32")}
    labels = {"colour": random.integers(0, 3, 32)}
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(8)
    vision = fused.submodels["vision"]
    before = {v.path: np.array(v) for v in vision.weights}
    given = StageData(
        fused.model,
        Epochs(lambda _: data.repeat(), 4),
        data,
        LearnsFrom(source="rows", description="made rows"),
    )
    history = train(specification, interfaces, fused, lambda _: given)
    moved = {v.path for v in vision.weights if not np.array_equal(before[v.path], np.array(v))}
    return moved, history


def test_a_specification_cuts_inside_the_backbone(nested_world: Path) -> None:
    fused, _ = fuse(specify(nested_world, "backbone/features"))
    whole = keras.saving.load_model(nested_world / "models" / "vision.keras")
    backbone = whole.get_layer("backbone")
    by_hand = keras.Model(backbone.inputs, backbone.get_layer("features").output)
    inputs = {"image": pictures(4), "words": np.zeros((4, 6), "float32")}

    joined = keras.Model(fused.model.input, fused.tensors["joined"])(inputs, training=True)

    np.testing.assert_allclose(joined[:, :6], by_hand(pictures(4), training=False), atol=1e-6)


def test_a_reference_names_another_layer_of_the_same_backbone(nested_world: Path) -> None:
    file = nested_world / "fusion.yaml"
    file.write_text(
        file.read_text().replace("[vision, text]", "[vision, vision.backbone/pool, text]")
    )
    fused, _ = fuse(specify(nested_world, "backbone"))

    assert fused.taps["vision"] == ["backbone", "backbone/pool"]
    assert fused.tensors["joined"].shape == (None, 6 + 4 + 4)


def test_a_misspelt_layer_inside_gets_the_nearest_path(nested_world: Path) -> None:
    with pytest.raises(SpecificationError) as caught:
        fuse(specify(nested_world, "backbone/feature"))
    assert caught.value.problems == [
        "submodels.vision.output: the model has no output or inner layer 'backbone/feature'; "
        "did you mean 'backbone/features'?"
    ]


@pytest.mark.parametrize(
    ("unfreeze", "layers", "moving"),
    [
        ("{last: 1}", ["backbone/features"], {"features/kernel", "features/bias"}),
        ("{layers: [backbone/norm]}", ["backbone/norm"], {"norm/gamma", "norm/beta"}),
        (
            "{layers: [backbone/norm], training_mode: true}",
            ["backbone/norm"],
            {"norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"},
        ),
    ],
)
def test_a_stage_moves_the_layers_it_unfreezes_inside_and_nothing_else(
    unfreeze: str, layers: list[str], moving: set[str], nested_world: Path
) -> None:
    stage = f"{{name: fine, epochs: 1, learning_rate: 1e-3, unfreeze: {{vision: {unfreeze}}}}}"

    moved, history = trained(specify(nested_world, "backbone", stage))

    assert moved == moving
    assert history.stages[0].unfrozen == {"vision": layers}
    assert not any(path in name for name in history.frozen["vision"] for path in moving)


@pytest.mark.parametrize(("unfrozen", "drops"), [("conv", True), ("features", False)])
def test_in_training_mode_dropout_drops_only_behind_what_is_unfrozen_inside(
    unfrozen: str, drops: bool, nested_world: Path
) -> None:
    fused, _ = fuse(specify(nested_world, "backbone"))
    layer = fused.submodels["vision"]
    layer.unfreeze([f"backbone/{unfrozen}"], training_mode=True)
    image = {"image": pictures(16)}

    first, second = (np.array(layer(image, training=True)["backbone"]) for _ in range(2))

    # The backbone is conv → norm → pool → drop → features.
    assert np.array_equal(first, second) is not drops
    still, again = (np.array(layer(image, training=False)["backbone"]) for _ in range(2))
    np.testing.assert_array_equal(still, again)
