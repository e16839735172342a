"""A trial trains what a run would train, on the embeddings, without any sub-model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import parity
import pytest

from tfx_fusion.modules.embedding.plan import EmbeddingPlan, StagePlan, plan_stages
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.training.stage_data import EmbeddedStore
from tfx_fusion.modules.tuning.trial import embedded_stages, train_head

PLAN = EmbeddingPlan(features={}, labels={}, embeddings=("a.b",), passed=(), precision="float32")
EMBEDDED = StagePlan(plan=PLAN)
BESIDE = StagePlan(plan=PLAN, live=("other",))
RAW = StagePlan(plan=None)


@pytest.mark.parametrize(
    ("stages", "count"),
    [
        ([EMBEDDED], 1),
        ([EMBEDDED, EMBEDDED], 2),
        ([RAW, EMBEDDED], 0),
        ([EMBEDDED, RAW, EMBEDDED], 1),
        ([EMBEDDED, BESIDE, EMBEDDED], 1),
        ([BESIDE], 0),
    ],
)
def test_trials_end_before_the_first_stage_that_needs_a_sub_model(
    stages: list[StagePlan], count: int
) -> None:
    assert embedded_stages(stages) == count


@pytest.mark.component
def test_a_head_is_trained_through_its_stages_without_loading_a_sub_model(
    world: Path,
    shared_training_inputs: Any,
    tmp_path: Path,
    embed: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tfx_fusion.modules.submodels.inspection import copy_submodel

    file = world / "fusion.yaml"
    stages = (
        "    - {name: head, epochs: 2, learning_rate: 1e-2}\n"
        "    - {name: slow, epochs: 3, learning_rate: 1e-3}\n"
        "    - {name: fine, epochs: 1, learning_rate: 1e-3, unfreeze: {vision: all}}\n"
    )
    text = file.read_text()
    file.write_text(text.replace("    - {name: head, epochs: 3, learning_rate: 1e-2}\n", stages))
    specification = load_specification(file)
    paths = {name: path for name, (_, path) in specification.imported().items()}
    interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}
    folders = {name: tmp_path / name for name in paths}
    for name, path in paths.items():
        copy_submodel(path, folders[name])
    plans = plan_stages(specification, build(specification, interfaces, open_interface))
    assert len(plans) == 3
    store = EmbeddedStore(
        plans, embed(plans, interfaces, folders, shared_training_inputs, tmp_path / "embedded")
    )

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a trial loads no sub-model")

    monkeypatch.setattr(SubmodelLayer, "__init__", refuse)
    first, again = (train_head(specification, interfaces, plans, store) for _ in range(2))

    assert set(first) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert first == again  # bit for bit: the seed is the specification's


@pytest.mark.component
@pytest.mark.parametrize("stopping", ["", ", early_stopping: {patience: 2}"])
def test_a_run_of_a_trials_specification_has_the_trials_values(
    stopping: str,
    world: Path,
    shared_training_inputs: Any,
    tmp_path: Path,
    embed: Callable[..., list[str]],
) -> None:
    file = world / "fusion.yaml"
    changes = {
        "epochs: 3, learning_rate: 1e-2}": f"epochs: 5, learning_rate: 0.3{stopping}}}",
        "[Dense: {units: 8, activation: relu}]": "[Dense: {units: 8}, Dropout: {rate: 0.5}]",
    }
    text = file.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    specification = load_specification(file)
    record, plans = parity.train(specification, shared_training_inputs, tmp_path / "run", embed)
    interfaces = {
        name: inspect_submodel(path).interface
        for name, (_, path) in specification.imported().items()
    }
    folders = [str(folder) for folder in sorted((tmp_path / "run").glob("embeddings*"))]
    store = EmbeddedStore(plans, folders)

    assert train_head(specification, interfaces, plans, store) == record.kept_epoch
