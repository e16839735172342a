"""FusionTrainer as a component: its channels, and the parameters that its cache key depends on.

TFX takes long to import, so it is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from specs import with_rate

from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.spec import (
    DataChecks,
    Evaluation,
    Publish,
    Specification,
    load_specification,
)

pytestmark = pytest.mark.component
RAW = StagePlan(plan=None)


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    return with_rate(load_specification(shared_world / "fusion.yaml"), 0.01)


def component_of(specification: Specification, embeddings: int = 0, **options: Any) -> Any:
    from tfx.types import channel_utils, standard_artifacts

    from tfx_fusion.components.artifacts import Submodel
    from tfx_fusion.components.fusion_trainer.component import FusionTrainer

    return FusionTrainer(
        specification,
        examples=channel_utils.as_channel([standard_artifacts.Examples()]),
        transform_graph=channel_utils.as_channel([standard_artifacts.TransformGraph()]),
        submodels={
            name: channel_utils.as_channel([Submodel()]) for name in specification.imported()
        },
        stages=[RAW],
        embeddings=[
            channel_utils.as_channel([standard_artifacts.Examples()]) for _ in range(embeddings)
        ],
        checkpoints="checkpoints",
        **options,
    )


def test_each_sub_model_and_each_plans_embeddings_have_a_channel_of_their_own(
    specification: Specification,
) -> None:
    from tfx.types import standard_artifacts

    from tfx_fusion.components.artifacts import Submodel, TrainingRecord

    component = component_of(specification, embeddings=2)

    assert {key: channel.type for key, channel in component.inputs.items()} == {
        "examples": standard_artifacts.Examples,
        "transform_graph": standard_artifacts.TransformGraph,
        "submodel_vision": Submodel,
        "submodel_text": Submodel,
        "embeddings_0": standard_artifacts.Examples,
        "embeddings_1": standard_artifacts.Examples,
    }
    assert {key: channel.type for key, channel in component.outputs.items()} == {
        "model": standard_artifacts.Model,
        "training_record": TrainingRecord,
    }


def test_two_trainers_of_one_process_keep_their_own_channels(specification: Specification) -> None:
    fewer = specification.model_copy(
        update={"submodels": {"text": specification.submodels["text"]}}
    )

    small, whole = component_of(fewer), component_of(specification)

    assert "submodel_vision" not in small.inputs
    assert "submodel_vision" in whole.inputs


def test_the_champion_is_a_parameter_so_that_the_cache_sees_a_new_one(
    specification: Specification,
) -> None:
    training = specification.training.model_copy(update={"warm_start": "champion"})
    warm = specification.model_copy(update={"training": training})

    cold = component_of(specification, champion="7 d1").exec_properties
    found = component_of(warm, champion="7 d1").exec_properties

    assert (cold["champion"], cold["publish_folder"]) == ("", "")
    assert (found["champion"], found["publish_folder"]) == ("7 d1", str(warm.publish.path))


def part(specification: Specification) -> str:
    from tfx_fusion.modules.spec.views import training_view

    return training_view(specification).model_dump_json()


def test_what_training_reads_is_a_whole_specification(specification: Specification) -> None:
    read = Specification.model_validate_json(part(specification))

    assert read.training == specification.training
    assert read.submodels == specification.submodels
    assert read.graph == specification.graph


@pytest.mark.parametrize(
    "change",
    [
        {"evaluation": Evaluation(slices=())},
        {"publish": Publish(path=Path("/elsewhere"))},
        {"data": DataChecks(max_leakage=0.1)},
    ],
    ids=["evaluation", "publish", "data.checks"],
)
def test_a_threshold_a_limit_of_the_data_or_a_publishing_folder_trains_nothing_again(
    change: dict[str, Any], specification: Specification
) -> None:
    if "data" in change:
        change = {"data": specification.data.model_copy(update={"checks": change["data"]})}
    changed = specification.model_copy(update=change)

    assert changed != specification
    assert part(changed) == part(specification)


def test_what_training_depends_on_trains_again(specification: Specification) -> None:
    outputs = specification.outputs
    heavier = outputs["colour"].model_copy(update={"weight": 2.0})
    graph = {**specification.graph}
    hidden = graph["hidden"].model_copy(update={"layers": ({"Dense": {"units": 9}},)})

    parts = {
        part(specification),
        part(with_rate(specification, 0.5)),
        part(specification.model_copy(update={"outputs": {"colour": heavier}})),
        part(specification.model_copy(update={"graph": {**graph, "hidden": hidden}})),
    }

    assert len(parts) == 4
