"""A head that learns from embeddings learns what it would learn from raw data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules.embedding.plan import StagePlan, plan_stages
from modules.fusion.build import build, open_interface
from modules.spec import Specification, load_specification
from modules.submodels.copy import copy_submodel
from modules.submodels.inspection import inspect_submodel
from modules.trainer.checkpoint import Checkpoint
from modules.trainer.run import fuse_and_train
from modules.trainer.train import TrainingHistory

pytestmark = pytest.mark.component
STAGE = "    - {name: head, epochs: 3, learning_rate: 1e-2}\n"


def train(
    specification: Specification, inputs: Any, folder: Path, embed: Callable[..., Any] | None
) -> tuple[TrainingHistory, list[StagePlan]]:
    """Trains on embeddings, or on raw data where `embed` is None, into a folder."""
    paths = {name: path for name, (_, path) in specification.imported().items()}
    for name, path in paths.items():
        copy_submodel(path, folder / "submodels" / name)
    inspections = {name: inspect_submodel(path) for name, path in paths.items()}
    interfaces = {name: found.interface for name, found in inspections.items()}
    stages = plan_stages(specification, build(specification, interfaces, open_interface))
    if embed is None:
        stages = [StagePlan(plan=None, why="raw data")] * len(stages)
    submodels = {name: folder / "submodels" / name for name in paths}
    history = fuse_and_train(
        specification,
        interfaces,
        submodels,
        {name: found.digest for name, found in inspections.items()},
        transform_path=str(inputs.transform_graph / "transform_fn"),
        splits={split: str(path) for split, path in inputs.splits.items()},
        stages=stages,
        embeddings=[] if embed is None else embed(stages, interfaces, submodels, inputs, folder),
        model_path=folder / "model",
        record_path=folder / "record",
        checkpoint=Checkpoint(folder / "checkpoint"),
    )
    return history, stages


def exported_weights(folder: Path) -> list[np.ndarray]:
    return [v.numpy() for v in tf.saved_model.load(str(folder / "model")).others]


def check_parity(
    specification: Specification, inputs: Any, folder: Path, embed: Callable[..., Any]
) -> tuple[TrainingHistory, list[StagePlan]]:
    """Trains both ways and compares every loss, metric and weight."""
    raw, _ = train(specification, inputs, folder / "raw", None)
    embedded, stages = train(specification, inputs, folder / "embedded", embed)
    for one, other in zip(raw.stages, embedded.stages, strict=True):
        assert len(one["epochs"]) == len(other["epochs"])
        for epoch, again in zip(one["epochs"], other["epochs"], strict=True):
            assert again == pytest.approx(epoch, abs=1e-5)
    weights = exported_weights(folder / "raw")
    for one, other in zip(weights, exported_weights(folder / "embedded"), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)
    assert raw.frozen == embedded.frozen
    return embedded, stages


def changed(world: Path, *changes: tuple[str, str]) -> Specification:
    file = world / "fusion.yaml"
    text = file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    file.write_text(text)
    return load_specification(file)


def test_with_dropout_in_the_head_all_losses_and_weights_are_those_on_raw_data(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    specification = changed(
        world,
        ("[Dense: {units: 8, activation: relu}]", "[Dense: {units: 8}, Dropout: {rate: 0.5}]"),
        ("metrics: [accuracy]}", "metrics: [accuracy], class_weights: balanced}"),
    )
    history, stages = check_parity(specification, shared_training_inputs, tmp_path, embed)
    assert [stage.why for stage in stages] == ["embeddings of vision.features, text.features"]
    assert history.stages[0]["source"] == stages[0].why


def test_what_a_stage_trains_is_computed_in_every_epoch_beside_the_embeddings(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    specification = changed(
        world,
        (
            STAGE,
            "    - {name: head, epochs: 2, learning_rate: 1e-2}\n"
            "    - {name: fine, epochs: 2, learning_rate: 1e-3, unfreeze: {vision: {last: 1}}}\n"
            "    - {name: again, epochs: 1, learning_rate: 1e-3}\n",
        ),
    )
    history, stages = check_parity(specification, shared_training_inputs, tmp_path, embed)

    assert [stage.plan and stage.plan.embeddings for stage in stages] == [
        ("vision.features", "text.features"),
        ("text.features",),
        ("text.features",),  # vision is no longer what was imported
    ]
    assert [len(stage["epochs"]) for stage in history.stages] == [2, 2, 1]


def test_an_activity_loss_inside_a_frozen_sub_model_is_part_of_neither_loss(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    path = world / "models" / "vision.keras"
    image = keras.Input((8, 8, 3), name="image")
    tensor = keras.layers.Flatten()(image)
    tensor = keras.layers.Dense(6, activity_regularizer="l2", name="features")(tensor)
    keras.Model(image, tensor, name="vision").save(path)

    check_parity(changed(world), shared_training_inputs, tmp_path, embed)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_layers_embedded_in_half_precision_give_what_they_give_on_raw_data(
    precision: str,
    world: Path,
    shared_training_inputs: Any,
    tmp_path: Path,
    embed: Callable[..., Any],
) -> None:
    specification = changed(
        world,
        ("inputs: {image: image}, output: features}", "inputs: {image: image}, output: norm}"),
        ("[vision, text]", "[pooled, text]"),
        ("  joined:", "  pooled: {layers: [GlobalAveragePooling2D], inputs: vision}\n  joined:"),
        ("  seed: 7\n", f"  seed: 7\n  precision: {precision}\n"),
    )
    _, [stage] = check_parity(specification, shared_training_inputs, tmp_path, embed)

    assert stage.plan is not None
    assert stage.plan.embeddings == ("pooled", "text.features")
    assert stage.plan.precision == precision


class Several(tf.Module):
    """Gives its text as numbers of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((6, 4), (1, 2)))

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32, name="tokens")])
    def serve(self, tokens: Any) -> dict[str, Any]:
        mixed = tf.matmul(tokens, self.kernel)
        return {
            "half": tf.cast(mixed, tf.float16),
            "double": tf.cast(mixed, tf.float64),
            "brain": tf.cast(mixed, tf.bfloat16),
            "place": tf.argmax(mixed, axis=1, output_type=tf.int32),
            "word": tf.gather(tf.constant(["low", "high"]), tf.cast(mixed[:, 0] > 0, tf.int32)),
        }


def test_a_saved_models_numbers_of_every_kind_and_words_are_learnt_from_alike(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    module = Several()
    tf.saved_model.save(module, str(world / "models" / "several"), signatures=module.serve)
    specification = changed(
        world,
        ("{path: models/text, inputs: {tokens: words}, output: features}",
         "{path: models/several, inputs: {tokens: words}}"),
        ("[vision, text]", "[vision, text.half, text.double, text.brain, placed, worded]"),
        ("  joined:",
         "  placed: {layers: [Embedding: {input_dim: 4, output_dim: 2}], inputs: text.place}\n"
         "  worded: {layers: [StringLookup: {vocabulary: [low, high]}, "
         "Embedding: {input_dim: 3, output_dim: 2}], inputs: text.word}\n  joined:"),
    )  # fmt: skip
    _, [stage] = check_parity(specification, shared_training_inputs, tmp_path, embed)

    assert stage.plan is not None
    assert len(stage.plan.embeddings) == 6


def test_an_output_straight_on_a_frozen_sub_model_is_measured_alike(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    output = "  colour: {from: scores, loss: categorical_crossentropy, metrics: [accuracy]}\n"
    specification = changed(
        world,
        (output, output + output.replace("colour:", "alone:").replace(
            "from: scores", "label: colour, from: vision.probabilities")),
    )  # fmt: skip
    history, _ = check_parity(specification, shared_training_inputs, tmp_path, embed)

    losses = [epoch["val_alone_loss"] for epoch in history.stages[0]["epochs"]]
    assert losses == pytest.approx([losses[0]] * 3)


def test_training_that_is_killed_on_embeddings_ends_as_if_it_had_not_been(
    world: Path,
    shared_training_inputs: Any,
    tmp_path: Path,
    embed: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specification = changed(
        world,
        ("[Dense: {units: 8, activation: relu}]", "[Dense: {units: 8}, Dropout: {rate: 0.5}]"),
        (STAGE, STAGE.replace("1e-2}", "1e-2, early_stopping: {patience: 5}}")),
    )
    unbroken, _ = train(specification, shared_training_inputs, tmp_path / "whole", embed)

    class Killed(BaseException):
        pass

    save = Checkpoint.save

    def save_and_die(self: Checkpoint, state: Any) -> None:
        save(self, state)
        if state.epoch == 2:
            raise Killed

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        train(specification, shared_training_inputs, tmp_path / "broken", embed)
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed, _ = train(specification, shared_training_inputs, tmp_path / "broken", embed)

    assert resumed.stages[0]["epochs"] == unbroken.stages[0]["epochs"]
    weights = exported_weights(tmp_path / "whole")
    for one, other in zip(weights, exported_weights(tmp_path / "broken"), strict=True):
        np.testing.assert_array_equal(one, other)
