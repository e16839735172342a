"""What the record says of losses and metrics, against NumPy; early stopping on any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from memory_rows import new_model, specify, train_in_memory

from tfx_fusion.modules.metrics.table import METRICS
from tfx_fusion.modules.spec import Specification, direction_of, logged
from tfx_fusion.modules.training.checkpoint import Checkpoint, ResumableEarlyStopping
from tfx_fusion.modules.validation.names import specification_problems

LABELS = {
    "kind": {"type": "category", "classes": ["a", "b", "c"]},
    "sure": {"type": "category", "classes": [0, 1]},
    "size": {"type": "number"},
}
OUTPUTS: dict[str, dict[str, Any]] = {
    "kind": {"loss": "categorical_crossentropy", "metrics": ["accuracy"],
             "class_weights": "balanced", "weight": 2.0},
    "sure": {"loss": "binary_crossentropy", "metrics": ["auc", "precision"],
             "class_weights": {0: 1.0, 1: 5.0}},
    "size": {"loss": "huber", "metrics": ["root_mean_squared_error"], "weight": 0.25},
}  # fmt: skip
UNITS = {"kind": 3}
STAGES = [{"name": "s", "epochs": 1, "learning_rate": 0.1}]


def rows(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    # The last rows differ from the others: a mean over batches would count them more.
    x = random.normal(size=(count, 3)) * np.r_[np.ones(count - 3), 4, 4, 4][:, None]
    return {
        "x": x.astype("float32"),
        "kind": random.choice(3, count, p=[0.6, 0.3, 0.1]),
        "sure": random.integers(0, 2, count),
        "size": random.normal(size=(count, 1)).astype("float32"),
    }


SPLITS = {"train": rows(37, 1), "eval": rows(19, 2)}


def three_outputs(rate: float = 1e-9, epochs: int = 1, **more: Any) -> Specification:
    stage = {"name": "s", "epochs": epochs, "learning_rate": rate, "optimizer": "SGD", **more}
    return specify(OUTPUTS, LABELS, UNITS, batch_size=8, stages=[stage])


def losses_by_hand(fused: Any, split: str) -> dict[str, np.ndarray]:
    """The loss of every row `(rows,)` by output."""
    given = SPLITS[split]
    found = {name: np.asarray(v) for name, v in fused.model({"x": given["x"]}).items()}
    chance = found["sure"][:, 0].clip(1e-7, 1 - 1e-7)
    gap = np.abs(given["size"] - found["size"])[:, 0]
    return {
        "kind": -np.log(found["kind"][np.arange(len(gap)), given["kind"]]),
        "sure": -np.log(np.where(given["sure"] == 1, chance, 1 - chance)),
        "size": np.where(gap <= 1, 0.5 * gap**2, gap - 0.5),
    }


def test_losses_of_several_outputs_are_means_over_rows() -> None:
    specification = three_outputs()
    fused = new_model(specification)
    [epoch] = train_in_memory(specification, fused, SPLITS).stages[0].epochs

    by_hand = losses_by_hand(fused, "eval")
    for name, losses in by_hand.items():
        assert epoch[f"val_{name}_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    total = sum(OUTPUTS[name].get("weight", 1.0) * v.mean() for name, v in by_hand.items())
    assert epoch["val_loss"] == pytest.approx(total, rel=1e-5)

    # In training, weighted by class; the rate is too small to move anything.
    counts = np.bincount(SPLITS["train"]["kind"])
    weights = {
        "kind": (37 / (3 * counts))[SPLITS["train"]["kind"]],
        "sure": np.array([1.0, 5.0])[SPLITS["train"]["sure"]],
        "size": np.ones(37),
    }
    by_hand = {n: weights[n] * values for n, values in losses_by_hand(fused, "train").items()}
    for name, losses in by_hand.items():
        assert epoch[f"{name}_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    total = sum(OUTPUTS[name].get("weight", 1.0) * v.mean() for name, v in by_hand.items())
    assert epoch["loss"] == pytest.approx(total, rel=1e-5)


def test_metrics_of_several_outputs_count_every_row_once() -> None:
    specification = three_outputs()
    fused = new_model(specification)
    [epoch] = train_in_memory(specification, fused, SPLITS).stages[0].epochs
    for split, run in (("train", ""), ("eval", "val_")):
        given = SPLITS[split]
        found = {name: np.asarray(v) for name, v in fused.model({"x": given["x"]}).items()}
        said = found["sure"][:, 0] > 0.5
        by_hand = {
            "kind_accuracy": np.mean(found["kind"].argmax(axis=1) == given["kind"]),
            "sure_precision": given["sure"][said].mean(),
            "size_root_mean_squared_error": np.sqrt(np.mean((found["size"] - given["size"]) ** 2)),
        }
        for name, value in by_hand.items():
            assert epoch[f"{run}{name}"] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("names", [list(OUTPUTS), ["sure"], ["size"]])
def test_what_can_be_monitored_is_what_is_logged(names: list[str]) -> None:
    specification = specify(
        {name: OUTPUTS[name] for name in names}, {name: LABELS[name] for name in names}, UNITS,
        stages=STAGES,
    )  # fmt: skip
    record = train_in_memory(specification, new_model(specification), SPLITS)
    assert set(record.kept_epoch) == set(logged(specification))


def test_every_metric_has_the_direction_that_it_improves_in() -> None:
    fall = {"mean_squared_error", "mean_absolute_error", "root_mean_squared_error", "loss",
            "log_loss", "calibration_error", "quantile_loss@0.9", "threshold_at_precision@0.9",
            }  # fmt: skip
    names = [f"{n}@0.9" if n.endswith(("quantile_loss", "at_precision", "at_recall")) else n
             for n in METRICS]  # fmt: skip
    for metric in ("loss", *names):
        assert direction_of(metric) == ("min" if metric in fall else "max")


@pytest.mark.parametrize("name", sorted(logged(three_outputs())))
def test_early_stopping_keeps_the_best_epoch_of_anything_that_is_logged(name: str) -> None:
    specification = three_outputs(
        rate=2.0, epochs=6, early_stopping={"monitor": name, "patience": 2}
    )
    record = train_in_memory(specification, new_model(specification), SPLITS)

    [stage] = record.stages
    values = [epoch[name] for epoch in stage.epochs]
    best = int(np.argmax(values) if "loss" not in name and "error" not in name
               else np.argmin(values))  # fmt: skip
    assert stage.kept == best
    assert record.kept_epoch == stage.epochs[best]
    assert len(values) == min(best + 3, 6)


def test_the_kept_epoch_is_that_of_the_weights_that_training_ends_with() -> None:
    specification = three_outputs(
        rate=3.0, epochs=8, early_stopping={"monitor": "val_loss", "patience": 3}
    )
    fused = new_model(specification)
    record = train_in_memory(specification, fused, SPLITS)

    assert record.stages[0].kept < len(record.stages[0].epochs) - 1
    for name, losses in losses_by_hand(fused, "eval").items():
        assert record.kept_epoch[f"val_{name}_loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_a_rising_metric_that_falls_ends_training() -> None:
    stopping = ResumableEarlyStopping("val_kind_auc", 2, "max")
    stopping.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    stopping.on_train_begin()
    for epoch, value in enumerate((0.5, 0.7, 0.6, 0.65)):
        stopping.on_epoch_end(epoch, {"val_kind_auc": value})
    assert stopping.best_epoch == 1
    assert stopping.model.stop_training


# ------------------------------------------------------------------------------ mixed precision

TINY = {"size": {"loss": "mean_squared_error", "weight": 1e-6}}


def half(**more: Any) -> Specification:
    stage = {"name": "s", "epochs": 3, "learning_rate": 0.05, **more}
    return specify(
        TINY, {"size": LABELS["size"]}, batch_size=8, precision="mixed_float16", stages=[stage]
    )


def test_gradients_too_small_for_float16_train_as_in_plain_keras(tmp_path: Path) -> None:
    """Live, and as the model of a head, which is not made under the precision of its layers."""
    specification = half()
    found = []
    for of_its_own in (False, True):
        fused = new_model(specification)
        again = keras.Model(fused.model.input, fused.model.output) if of_its_own else None
        first = fused.model.get_weights()[0]
        train_in_memory(specification, fused, SPLITS, model=again)
        found.append(fused.model.get_weights())
        assert np.abs(found[-1][0] - first).min() > 0.05
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_loss_scaling_resumes_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specification = half(optimizer={"SGD": {"momentum": 0.9}})
    whole = new_model(specification)
    unbroken = train_in_memory(specification, whole, SPLITS)
    scales: list[float] = []

    class Killed(BaseException):
        pass

    save = Checkpoint.save

    def save_and_die(self: Checkpoint, state: Any) -> None:
        save(self, state)
        scales.append(max(float(v) for v in state.optimizer if v.shape == ()))
        raise Killed

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        train_in_memory(specification, new_model(specification), SPLITS, Checkpoint(tmp_path))
    monkeypatch.setattr(Checkpoint, "save", save)
    fused = new_model(specification)
    resumed = train_in_memory(specification, fused, SPLITS, Checkpoint(tmp_path))

    assert scales == [2.0**15]  # where Keras begins
    assert resumed.stages[0].epochs == unbroken.stages[0].epochs
    for one, other in zip(whole.model.get_weights(), fused.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------- class weights, and one name


def test_class_weights_are_written_as_classes_are() -> None:
    for classes, weights in (
        ([0, 1], {0: 1.0, 1: 5.0}),
        ([0, 1], {"1": 5.0}),
        ([False, True], {True: 5.0}),
        (["false", "true"], {True: 5.0, "false": 1.0}),
    ):
        specification = specify(
            {"sure": {**OUTPUTS["sure"], "class_weights": weights}},
            {"sure": {"type": "category", "classes": classes}}, stages=STAGES,
        )  # fmt: skip
        given = specification.outputs["sure"].class_weights
        assert isinstance(given, dict)
        last = specification.labels["sure"].classes[1]
        assert last == ("1" if type(classes[1]) is int else "true")
        assert given[last] == 5.0
        assert not specification_problems(specification)


def test_one_class_weighted_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="each class once, found '1' more than once"):
        specify(
            {"sure": {**OUTPUTS["sure"], "class_weights": {1: 2.0, "1": 5.0}}},
            {"sure": LABELS["sure"]}, stages=STAGES,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        (("size", "val_size"), "val_size_loss"),
        (("size", "val_size"), "val_size_mean_absolute_error"),
    ],
)
def test_two_quantities_of_one_logged_name_are_refused(names: tuple[str, ...], twice: str) -> None:
    output = {"loss": "huber", "metrics": ["mean_absolute_error"]}
    specification = specify(
        dict.fromkeys(names, output), {name: {"type": "number"} for name in names},
        stages=STAGES,
    )  # fmt: skip
    assert (
        f"outputs: two losses or metrics would both be logged as '{twice}': rename one of their "
        "outputs"
    ) in [str(problem) for problem in specification_problems(specification)]
