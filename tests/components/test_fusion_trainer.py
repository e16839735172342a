"""FusionTrainer: collects what is to be fused, and leaves one model and its record.

TFX takes long to import, so it is imported where it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from executions import binding
from specs import with_rate

from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.report.summaries import TrainingSummary
from tfx_fusion.modules.spec import (
    Specification,
    load_specification,
)
from tfx_fusion.modules.submodels.layer import SubmodelLayer

pytestmark = pytest.mark.component
RAW = StagePlan(plan=None)


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    return with_rate(load_specification(shared_world / "fusion.yaml"), 0.01)


# ------------------------------------------------------------------------------- the executor


@pytest.fixture
def train(
    run_trainer: Callable[..., dict[str, Any]], tmp_path: Path
) -> Callable[[Specification], Any]:
    """Runs the executor once, in the test's own folder."""
    return lambda specification: run_trainer(specification, tmp_path)


@pytest.fixture(scope="module")
def trained(
    run_trainer: Callable[..., dict[str, Any]],
    specification: Specification,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What the executor makes of the specification; made once, read only."""
    return run_trainer(specification, tmp_path_factory.mktemp("trained"))


def test_the_model_lies_where_tfx_expects_it_and_the_record_beside(
    trained: dict[str, Any],
) -> None:
    from tfx.utils import path_utils

    loaded = tf.saved_model.load(path_utils.serving_model_path(trained["model"].uri))
    assert set(loaded.signatures) == {"serving_default", "predict_examples", "transform_labels"}
    record = json.loads(Path(trained["training_record"].uri, "history.json").read_text())
    assert [stage["name"] for stage in record["stages"]] == ["head"]
    assert len(record["stages"][0]["epochs"]) == 1


def sha256(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_summary_and_the_model_artifact_hold_what_was_verified_frozen(
    trained: dict[str, Any],
) -> None:
    from tfx_fusion.components.base import summary_of

    model = trained["model"]
    record = json.loads(Path(trained["training_record"].uri, "history.json").read_text())
    # The cut vision model has 8 tensors, moving statistics included, the whole text model has 4.
    summary = summary_of([model])
    assert isinstance(summary, TrainingSummary)
    counted = sum(len(named) for named in record["frozen"].values())
    assert summary.frozen_tensors == counted == 8 + 4
    assert summary.learned_from == ("rows",)
    assert summary.loss == record["stages"][-1]["epochs"][-1]["loss"]
    assert summary_of([trained["training_record"]]) == summary
    parts = {
        name: sha256([tensor_digest(variable) for variable in held])
        for name, held in frozen_in(Path(model.uri, "Format-Serving")).items()
    }
    for name, digest in parts.items():
        assert model.get_string_custom_property(f"frozen_digest_{name}") == digest
        moments = ("before", "after", "exported")
        assert {record["proof"][name][moment] for moment in moments} == {digest}
    whole = sha256([parts["text"], parts["vision"]])
    assert model.get_string_custom_property("frozen_digest") == whole


def frozen_in(model: Path) -> dict[str, list[np.ndarray]]:
    """The frozen tensors that a SavedModel holds, by sub-model."""
    loaded = tf.saved_model.load(str(model))
    return {
        name: [variable.numpy() for variable in loaded.frozen[name]] for name in ("vision", "text")
    }


def tensor_digest(value: np.ndarray) -> str:
    return hashlib.sha256(f"{value.dtype} {value.shape} ".encode() + value.tobytes()).hexdigest()


def test_a_readable_record_has_stages_proof_and_links_to_the_rest(
    trained: dict[str, Any],
) -> None:
    folder = Path(trained["training_record"].uri)

    text = (folder / "record.md").read_text()

    digest = trained["model"].get_string_custom_property("frozen_digest")[:12]
    assert text.startswith("# Training of colours\n")
    assert "| head | raw data | nothing | Adam | 0.01 | 1 of 1 |" in text
    assert f"| all | 12 | 201 | `{digest}` | `{digest}` | `{digest}` |" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {"curves.svg", "graph.svg", "history.json"} == set(links)
    assert all((folder / link).is_file() for link in links)


# ---------------------------------------------------------- a frozen weight that moves all the same


class Moving:
    """Moves a frozen weight of the sub-models that a run opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._layers: dict[str, SubmodelLayer] = {}
        make = SubmodelLayer.__init__

        def remember(layer: SubmodelLayer, *args: Any, **kwargs: Any) -> None:
            make(layer, *args, **kwargs)
            self._layers[layer.name] = layer

        monkeypatch.setattr(SubmodelLayer, "__init__", remember)

    def _move(self, submodel: str, weight: str) -> None:
        tensor = self._layers[submodel].named_weights()[weight].value
        tensor.assign_add(tf.fill(tf.shape(tensor), 1e-3))

    def with_each_step(self, submodel: str, weight: str) -> None:
        """By one more operation of the optimizer's step."""
        honest = keras.optimizers.Adam.apply

        def apply(*args: Any, **kwargs: Any) -> Any:
            self._move(submodel, weight)
            return honest(*args, **kwargs)

        self._monkeypatch.setattr(keras.optimizers.Adam, "apply", apply)

    def when_saved(self, submodel: str, weight: str) -> None:
        honest = tf.saved_model.save

        def save(*args: Any, **kwargs: Any) -> None:
            self._move(submodel, weight)
            honest(*args, **kwargs)

        self._monkeypatch.setattr(tf.saved_model, "save", save)


@pytest.mark.parametrize(
    ("submodel", "weight", "message"),
    [
        ("vision", "conv/kernel", "vision: 0/conv/kernel"),
        ("vision", "norm/moving_variance", "vision: 5/norm/moving_variance"),
        ("text", "features/bias", "text: 1/features_bias"),
    ],
)
def test_an_optimizer_step_that_moves_a_frozen_weight_fails_the_run_by_its_name(
    submodel: str,
    weight: str,
    message: str,
    train: Callable[[Specification], Any],
    specification: Specification,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Moving(monkeypatch).with_each_step(submodel, weight)

    with pytest.raises(RunError) as caught:
        train(specification)

    assert str(caught.value) == f"frozen tensors changed in stage head: {message}"
    assert not list((tmp_path / "model").rglob("saved_model.pb"))
    assert not (tmp_path / "training_record").exists()


def test_a_frozen_weight_that_is_saved_otherwise_fails_the_run_by_its_name(
    train: Callable[[Specification], Any],
    specification: Specification,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Moving(monkeypatch).when_saved("vision", "conv/bias")

    with pytest.raises(RunError) as caught:
        train(specification)

    message = "frozen tensors changed in the exported model: vision: 1/conv/bias"
    assert str(caught.value) == message
    assert not list((tmp_path / "model").rglob("saved_model.pb"))
    assert not (tmp_path / "training_record").exists()


def test_each_moments_digest_is_taken_at_its_own_moment(
    train: Callable[[Specification], Any],
    specification: Specification,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moving = Moving(monkeypatch)
    moving.with_each_step("vision", "conv/kernel")
    moving.when_saved("text", "features/bias")
    for place in ("train", "export"):
        monkeypatch.setattr(
            f"tfx_fusion.modules.training.{place}.verify_unchanged", lambda *_: None
        )

    artifacts = train(specification)

    history = json.loads(Path(artifacts["training_record"].uri, "history.json").read_text())
    vision, text = history["proof"]["vision"], history["proof"]["text"]
    assert vision["before"] != vision["after"] == vision["exported"]
    assert text["before"] == text["after"] != text["exported"]


def test_a_run_that_fails_leaves_no_model(
    train: Callable[[Specification], Any], specification: Specification, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="lower the learning_rate"):
        train(with_rate(specification, 1e38))

    assert not list((tmp_path / "model").rglob("saved_model.pb"))
    assert not (tmp_path / "training_record" / "history.json").exists()


def test_the_place_of_a_checkpoint_depends_on_all_that_training_depends_on(
    specification: Specification,
) -> None:
    from tfx.types import standard_artifacts

    from tfx_fusion.components.base import Execution
    from tfx_fusion.components.fusion_trainer import executor
    from tfx_fusion.modules.spec.views import training_view

    def place(
        specification: Specification, examples_uri: str, champion: Path | None = None
    ) -> Path:
        examples = standard_artifacts.Examples()
        examples.uri = examples_uri
        properties = {
            executor.SPECIFICATION_KEY: training_view(specification).model_dump_json(),
            executor.CHECKPOINTS_KEY: "checkpoints",
            "binding": binding(),
        }
        run = Execution({"examples": [examples]}, {}, properties)
        return executor.checkpoint_of(run, champion)._folder

    same, again = (place(specification, "rows/1") for _ in range(2))

    assert same == again
    assert same.parent == Path("checkpoints")
    assert place(specification, "rows/2") != same
    assert place(with_rate(specification, 0.5), "rows/1") != same
    assert place(specification, "rows/1", champion=Path("serving/1")) != same
