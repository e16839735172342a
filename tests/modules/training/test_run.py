"""A whole run of training: its record, its repetition, and what must fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_runs import (
    Assembled,
    ClientRows,
    Trained,
    one_stage,
    predicted_by_hand,
    run,
    sha256,
    with_training,
)

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.record import HISTORY_FILE, TrainingRecord, read_record

pytestmark = pytest.mark.component


def test_the_record_holds_every_epoch_with_losses_and_metrics(
    trained: Trained, specification: Specification
) -> None:
    record = read_record(trained.record)

    assert record == trained.history
    [stage] = record.stages
    assert stage.name == "head"
    assert stage.seconds > 0
    assert len(stage.epochs) == specification.training.stages[0].epochs
    for epoch in stage.epochs:
        assert set(epoch) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert np.isfinite(list(epoch.values())).all()
    assert record.kept_epoch == stage.epochs[-1]


def test_the_last_validation_is_that_of_the_exported_model(
    trained: Trained, raw: ClientRows, shared_world: Path, tmp_path: Path
) -> None:
    predicted = predicted_by_hand(trained, raw, shared_world, tmp_path)
    chosen = predicted[np.arange(len(raw.classes)), raw.classes]

    last = read_record(trained.record).kept_epoch

    assert last["val_loss"] == pytest.approx(-np.mean(np.log(chosen)), rel=1e-4)
    assert last["val_accuracy"] == pytest.approx(
        np.mean(predicted.argmax(axis=1) == raw.classes), abs=1e-6
    )


def test_the_record_holds_the_digest_of_every_frozen_tensor_as_it_was_imported(
    trained: Trained, shared_world: Path
) -> None:
    vision = keras.saving.load_model(shared_world / "models" / "vision.keras")
    needed = keras.Model(vision.input, vision.get_layer("features").output).weights
    text = tf.saved_model.load(str(shared_world / "models" / "text"))
    variables = text.signatures["serving_default"].variables

    frozen = read_record(trained.record).frozen

    assert set(frozen) == {"vision", "text"}
    assert sorted(frozen["vision"].values()) == sorted(sha256(weight) for weight in needed)
    assert sorted(frozen["text"].values()) == sorted(sha256(v.numpy()) for v in variables)
    assert any("moving_variance" in name for name in frozen["vision"])


def test_a_run_that_ended_leaves_no_checkpoint(trained: Trained) -> None:
    assert not (trained.folder / "checkpoint").exists()


def without_seconds(history: TrainingRecord) -> dict[str, Any]:
    return {
        "frozen": history.frozen,
        "stages": [stage.model_copy(update={"seconds": 0.0}) for stage in history.stages],
    }


def test_two_runs_of_one_seed_are_bit_equal(
    trained: Trained,
    specification: Specification,
    shared_training_inputs: Any,
    raw: ClientRows,
    tmp_path: Path,
) -> None:
    again = run(specification, shared_training_inputs, tmp_path)

    assert without_seconds(again.history) == without_seconds(trained.history)
    np.testing.assert_array_equal(
        again.signature()(**raw.request())["colour_probabilities"],
        trained.signature()(**raw.request())["colour_probabilities"],
    )


def test_another_seed_trains_another_head_on_the_same_frozen_tensors(
    trained: Trained, specification: Specification, shared_training_inputs: Any, tmp_path: Path
) -> None:
    other = run(with_training(specification, seed=8), shared_training_inputs, tmp_path)

    assert other.history.frozen == trained.history.frozen
    assert other.history.stages[0].epochs != trained.history.stages[0].epochs


def test_a_loss_that_is_not_finite_stops_and_leaves_no_model_behind(
    specification: Specification, shared_training_inputs: Any, tmp_path: Path
) -> None:
    hopeless = with_training(specification, stages=one_stage(learning_rate=1e38))

    with pytest.raises(RunError) as caught:
        run(hopeless, shared_training_inputs, tmp_path)

    message = str(caught.value)
    assert message.startswith(
        "training.stages.0: in stage 'head' the loss is not a finite number after "
    )
    assert "epoch 1: lower the learning_rate (now 1e+38)" in message
    assert not (tmp_path / "model" / "Format-Serving").exists()
    assert not (tmp_path / "record" / HISTORY_FILE).exists()


def test_a_failed_run_leaves_keras_as_it_found_it(
    specification: Specification, shared_training_inputs: Any, tmp_path: Path
) -> None:
    hopeless = with_training(
        specification, precision="mixed_bfloat16", stages=one_stage(learning_rate=1e38)
    )

    with pytest.raises(RunError):
        run(hopeless, shared_training_inputs, tmp_path)

    policy = keras.config.dtype_policy().name
    keras.config.set_dtype_policy("float32")
    assert policy == "float32"


@pytest.mark.parametrize(
    ("submodel", "tensor"),
    [("vision", "conv/kernel"), ("vision", "norm/moving_mean"), ("text", "features_bias")],
)
def test_a_frozen_tensor_that_changes_in_training_fails_by_its_name(
    submodel: str, tensor: str, assembled: Assembled
) -> None:
    honest = assembled.data.train
    moved: list[str] = []

    def batches(epoch: int) -> tf.data.Dataset:
        # Called when a stage begins to read, after the digests of before were taken.
        moved.append(assembled.move(submodel, tensor))
        return honest.batches(epoch)

    assembled.data = assembled.data._replace(train=honest._replace(batches=batches))

    with pytest.raises(RunError) as caught:
        assembled.train()

    assert str(caught.value) == f"frozen tensors changed in stage head: {submodel}: {moved[0]}"
