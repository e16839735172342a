"""FusionTrainer starting from the champion: a version folder, whatever its training saw.

A candidate whose rate is too small to change any number keeps what it began with.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification, Training, load_specification
from tfx_fusion.modules.training.trained_values import TRAINED_FILE

pytestmark = pytest.mark.component

STILL = 1e-30
HEAD = ("hidden/kernel", "hidden/bias", "scores/kernel", "scores/bias")


@pytest.fixture(scope="module")
def specify(shared_world: Path) -> Callable[..., Specification]:
    specification = load_specification(shared_world / "fusion.yaml")

    def change(epochs: int, learning_rate: float, warm_start: str | None) -> Specification:
        stage = {"name": "head", "epochs": epochs, "learning_rate": learning_rate}
        training = Training.model_validate(
            {"batch_size": 16, "seed": 7, "warm_start": warm_start, "stages": [stage]}
        )
        return specification.model_copy(update={"training": training})

    return change


@pytest.fixture(scope="module")
def first(
    run_trainer: Callable[..., dict[str, Any]],
    specify: Callable[..., Specification],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """The artifacts of a training without a champion; made once, read only."""
    return run_trainer(specify(4, 0.01, None), tmp_path_factory.mktemp("first"))


@pytest.fixture
def champion(first: dict[str, Any], tmp_path: Path) -> Path:
    """Its model as Pusher publishes it: the folder copied under a number."""
    version = tmp_path / "serving" / "1795407334"
    shutil.copytree(Path(first["model"].uri, "Format-Serving"), version)
    return version


def head_of(version: Path) -> dict[str, np.ndarray]:
    """The new layers' values in a SavedModel, by the names that TensorFlow gave them."""
    loaded = tf.saved_model.load(str(version))
    found = {variable.name.split(":")[0]: variable.numpy() for variable in loaded.others}
    return {name: found[name] for name in HEAD}


def summary_of(artifacts: dict[str, Any]) -> Any:
    """The summary that the trainer wrote."""
    from tfx_fusion.components import base

    return base.summary_of(artifacts.values())


def history_of(artifacts: dict[str, Any]) -> dict[str, Any]:
    return json.loads(Path(artifacts["training_record"].uri, "history.json").read_text())


def test_a_candidate_begins_with_exactly_the_champions_head_and_a_better_loss(
    champion: Path,
    run_trainer: Callable[..., dict[str, Any]],
    specify: Callable[..., Specification],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "fusion.progress")
    warm = run_trainer(specify(1, STILL, "champion"), tmp_path / "warm", champion)
    scratch = run_trainer(specify(1, STILL, "champion"), tmp_path / "scratch", None)

    began = head_of(Path(warm["model"].uri, "Format-Serving"))
    for name, value in head_of(champion).items():
        np.testing.assert_array_equal(began[name], value, err_msg=name)
    losses = [history_of(run)["stages"][0]["epochs"][0]["loss"] for run in (warm, scratch)]
    assert losses[0] < losses[1]
    # Frozen and proven, the imported tensors and no others.
    assert history_of(warm)["frozen"] == history_of(scratch)["frozen"]
    assert summary_of(warm).frozen_tensors == 12

    text = "4 of 4 variables from champion 1795407334"
    assert summary_of(warm).warm_start == text
    assert history_of(warm)["warm_start"]["champion"] == str(champion)
    assert summary_of(scratch).warm_start == "from scratch: no model has been published yet"
    assert f"warm start: {text}" in caplog.messages
    assert "warm start: from scratch: no model has been published yet" in caplog.messages


def test_a_champion_of_an_older_layout_is_reported_and_trained_from_scratch(
    champion: Path,
    run_trainer: Callable[..., dict[str, Any]],
    specify: Callable[..., Specification],
    tmp_path: Path,
) -> None:
    (champion / TRAINED_FILE).unlink()

    artifacts = run_trainer(specify(1, STILL, "champion"), tmp_path / "second", champion)

    assert summary_of(artifacts).warm_start == (
        f"from scratch: an older layout without {TRAINED_FILE} was published last"
    )


def test_a_damaged_champion_is_refused_and_leaves_no_model(
    champion: Path,
    run_trainer: Callable[..., dict[str, Any]],
    specify: Callable[..., Specification],
    tmp_path: Path,
) -> None:
    file = champion / TRAINED_FILE
    file.write_bytes(file.read_bytes()[:200])

    with pytest.raises(RunError) as caught:
        run_trainer(specify(1, 0.01, "champion"), tmp_path / "second", champion)

    assert str(caught.value).startswith(f"{file}: expected the trained values of the last publishe")
    assert not list((tmp_path / "second" / "model").rglob("*"))


def test_a_champion_that_is_published_just_before_it_is_read_is_refused(
    champion: Path,
    run_trainer: Callable[..., dict[str, Any]],
    specify: Callable[..., Specification],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And rolled back afterwards, so that the champion is the one that the run saw."""
    from tfx_fusion.components.fusion_trainer import executor

    seen = executor.newest_version
    later = champion.with_name("1795407335")

    def newest_for_a_moment(folder: Path) -> Path | None:
        shutil.copytree(champion, later)
        return seen(folder)

    def read_then_roll_back(*given: Any) -> Any:
        found = read(*given)
        shutil.rmtree(later)
        return found

    read = executor.Champion.read
    monkeypatch.setattr(executor, "newest_version", newest_for_a_moment)
    monkeypatch.setattr(executor.Champion, "read", read_then_roll_back)

    with pytest.raises(RunError, match="another model was published or rolled back since the run"):
        run_trainer(specify(1, 0.01, "champion"), tmp_path / "second", champion)


def test_without_being_asked_for_nothing_is_said_of_a_warm_start(first: dict[str, Any]) -> None:
    assert history_of(first)["warm_start"] is None
