"""Stages, freezing and going on after a kill, on the small world's sub-models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from specs import rewritten

from tfx_fusion.modules.embedding.plan import LearnsFrom
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import FusedModel, build
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.data import Epochs
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.stage_data import StageData
from tfx_fusion.modules.training.train import seed_everything, train

STAGE = "{name: head, epochs: 3, learning_rate: 1e-2}"
Specify = Callable[..., Specification]


@pytest.fixture
def specify(world: Path) -> Specify:
    """The small specification with stages of its own."""

    file = world / "fusion.yaml"
    original = file.read_text()

    def change(*stages: str) -> Specification:
        file.write_text(original)
        return rewritten(file, (STAGE, "\n    - ".join(stages)))

    return change


def rows(batches: int = 4) -> tuple[Epochs, tf.data.Dataset]:
    """Made rows whose order within an epoch depends on the epoch alone."""
    random = np.random.default_rng(11)
    features = {
        "image": random.random((32, 8, 8, 3)).astype("float32"),
        "words": random.integers(0, 2, (32, 6)).astype("float32"),
    }
    labels = {"colour": random.integers(0, 3, 32)}
    data = tf.data.Dataset.from_tensor_slices((features, labels))

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        return data.shuffle(32, seed=epoch + 1, reshuffle_each_iteration=False).batch(8)

    return Epochs(lambda n: tf.data.Dataset.range(n, 1000).flat_map(of_epoch), batches), data.batch(
        8
    )


def fuse(specification: Specification) -> tuple[FusedModel, dict[str, Any]]:
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


def trained(
    specification: Specification, checkpoint: Checkpoint | None = None
) -> tuple[FusedModel, TrainingRecord]:
    fused, interfaces = fuse(specification)
    data = StageData(fused.model, *rows(), LearnsFrom(source="rows", description="made rows"))
    return fused, train(specification, interfaces, fused, lambda _: data, checkpoint)


def weights_of(fused: FusedModel, submodel: str) -> dict[str, np.ndarray]:
    return {v.path: np.array(v) for v in fused.submodels[submodel].weights}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {path for path in before if not np.array_equal(before[path], after[path])}


def test_what_no_stage_unfreezes_stays_bit_identical_moving_statistics_too(
    specify: Specify,
) -> None:
    specification = specify(STAGE)
    fused, _ = fuse(specification)
    before = {name: weights_of(fused, name) for name in ("vision", "text")}
    fused, history = trained(specification)
    for name in ("vision", "text"):
        assert changed(before[name], weights_of(fused, name)) == set()
    assert len(history.frozen["vision"]) == len(before["vision"])


def test_a_stage_moves_what_it_unfreezes_and_nothing_else(specify: Specify) -> None:
    specification = specify(
        "{name: head, epochs: 1, learning_rate: 1e-2}",
        "{name: fine, epochs: 1, learning_rate: 1e-3, unfreeze: {vision: {last: 1}, "
        "text: {layers: ['features/*']}}}",
    )
    fused, _ = fuse(specification)
    before = {name: weights_of(fused, name) for name in ("vision", "text")}
    fused, history = trained(specification)
    assert changed(before["vision"], weights_of(fused, "vision")) == {
        "features/kernel", "features/bias",
    }  # fmt: skip
    assert changed(before["text"], weights_of(fused, "text")) == {
        "features_kernel", "features_bias",
    }  # fmt: skip
    assert history.stages[1].unfrozen == {
        "vision": ["features"], "text": ["features/kernel", "features/bias"],
    }  # fmt: skip
    assert not any("features" in tensor for tensor in history.frozen["vision"])


def test_a_fine_tuned_batch_norm_learns_but_keeps_its_statistics(specify: Specify) -> None:
    specification = specify(
        "{name: fine, epochs: 1, learning_rate: 1e-3, unfreeze: {vision: {layers: [norm]}}}"
    )
    fused, _ = fuse(specification)
    before = weights_of(fused, "vision")
    fused, _ = trained(specification)
    assert changed(before, weights_of(fused, "vision")) == {"norm/gamma", "norm/beta"}


def test_in_training_mode_its_statistics_move_as_well(specify: Specify) -> None:
    specification = specify(
        "{name: fine, epochs: 1, learning_rate: 1e-3, "
        "unfreeze: {vision: {layers: [norm], training_mode: true}}}"
    )
    fused, _ = fuse(specification)
    before = weights_of(fused, "vision")
    fused, _ = trained(specification)
    assert changed(before, weights_of(fused, "vision")) == {
        "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance",
    }  # fmt: skip


@pytest.mark.parametrize(("unfrozen", "drops"), [("conv", True), ("features", False)])
def test_in_training_mode_dropout_drops_only_behind_what_is_unfrozen(
    unfrozen: str, drops: bool, specify: Specify
) -> None:
    fused, _ = fuse(specify(STAGE))
    layer = fused.submodels["vision"]
    layer.unfreeze([unfrozen], training_mode=True)
    image = {"image": np.random.default_rng(2).random((16, 8, 8, 3)).astype("float32")}
    first, second = (np.array(layer(image, training=True)["features"]) for _ in range(2))
    # The network is conv → norm → pool → drop → features.
    assert np.array_equal(first, second) is not drops
    still, again = (np.array(layer(image, training=False)["features"]) for _ in range(2))
    np.testing.assert_array_equal(still, again)


def test_a_rate_of_its_own_makes_a_sub_models_steps_shorter(specify: Specify) -> None:
    moved = []
    for rate in ("", ", learning_rate: 1e-6"):
        unfreeze = f"{{vision: {{last: 1{rate}}}}}"
        specification = specify(
            f"{{name: fine, epochs: 1, learning_rate: 1e-3, unfreeze: {unfreeze}}}"
        )
        fused, _ = fuse(specification)
        before = weights_of(fused, "vision")["features/kernel"]
        fused, _ = trained(specification)
        moved.append(np.abs(weights_of(fused, "vision")["features/kernel"] - before).max())
    # Adam's first steps are as long as the rate, whatever the gradient.
    assert 0 < moved[1] < moved[0] / 100


def test_training_that_was_killed_ends_as_if_it_had_not_been(
    specify: Specify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = specify(
        "{name: head, epochs: 3, learning_rate: 1e-2, "
        "early_stopping: {patience: 5, monitor: loss}}",
        "{name: fine, epochs: 3, learning_rate: 1e-3, unfreeze: {vision: {last: 1}}, "
        "optimizer: {AdamW: {weight_decay: 0.01}}, schedule: {CosineDecay: {decay_steps: 12}}}",
    )
    whole, unbroken = trained(specification)

    class Killed(BaseException):
        pass

    save = Checkpoint.save
    for epochs in (2, 3):  # in the middle of the first stage, then of the second
        saved: list[int] = []

        def save_and_die(self: Checkpoint, state: Any) -> None:
            save(self, state)
            saved.append(state.epoch)  # noqa: B023
            if len(saved) == epochs:  # noqa: B023
                raise Killed

        monkeypatch.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            trained(specification, Checkpoint(tmp_path / "checkpoint"))
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed, history = trained(specification, Checkpoint(tmp_path / "checkpoint"))

    assert [len(s.epochs) for s in history.stages] == [3, 3]
    for one, other in zip(unbroken.stages, history.stages, strict=True):
        assert one.epochs == other.epochs
    for one, other in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_that_is_no_number_stops_with_the_key_to_change(specify: Specify) -> None:
    specification = specify("{name: head, epochs: 2, learning_rate: 1e30, optimizer: SGD}")
    with pytest.raises(RunError) as caught:
        trained(specification)
    assert str(caught.value).startswith(
        "training.stages.0: in stage 'head' the loss is not a finite number after epoch "
    )
    assert "lower the learning_rate (now 1e+30), or set clip_norm" in str(caught.value)


def test_a_frozen_weight_that_moves_fails_training_by_its_name(
    specify: Specify, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = keras.Model.fit

    def fit_and_move(self: keras.Model, *args: Any, **kwargs: Any) -> Any:
        fitted = fit(self, *args, **kwargs)
        kernel = next(v for v in self.weights if v.path.endswith("conv/kernel"))
        kernel.assign(np.nextafter(np.array(kernel), np.float32(1)))
        return fitted

    monkeypatch.setattr(keras.Model, "fit", fit_and_move)
    with pytest.raises(
        RunError, match=r"^frozen tensors changed in stage head: vision: 0/conv/ker"
    ):
        trained(specify(STAGE))
