"""FusionTrainer: collects what is to be fused, and leaves one model and its record.

TFX takes long to import, so it is imported where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from modules.errors import RunError
from modules.spec import Evaluation, Publish, Specification, Training, load_specification

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    """The small specification, with one short epoch."""
    specification = load_specification(shared_world / "fusion.yaml")
    return with_rate(specification, 0.01)


def with_rate(specification: Specification, learning_rate: float) -> Specification:
    stage = {"name": "head", "epochs": 1, "learning_rate": learning_rate}
    training = Training.model_validate({"batch_size": 16, "seed": 7, "stages": [stage]})
    return specification.model_copy(update={"training": training})


# ------------------------------------------------------------------------------- the executor


@pytest.fixture
def train(
    run_trainer: Callable[..., dict[str, Any]], tmp_path: Path
) -> Callable[[Specification], Any]:
    """Runs the executor once, in the test's own folder."""
    return lambda specification: run_trainer(specification, tmp_path)


def test_the_model_lies_where_tfx_expects_it_and_the_record_beside(
    train: Callable[[Specification], Any], specification: Specification
) -> None:
    from tfx.utils import path_utils

    artifacts = train(specification)

    loaded = tf.saved_model.load(path_utils.serving_model_path(artifacts["model"].uri))
    assert set(loaded.signatures) == {"serving_default", "predict_examples", "transform_labels"}
    record = json.loads(Path(artifacts["training_record"].uri, "history.json").read_text())
    assert [stage["name"] for stage in record["stages"]] == ["head"]
    assert len(record["stages"][0]["epochs"]) == 1


def test_the_model_artifact_tells_how_many_frozen_tensors_were_proven(
    train: Callable[[Specification], Any], specification: Specification
) -> None:
    artifacts = train(specification)

    proven = artifacts["model"].get_int_custom_property("frozen_tensors_proven")

    record = json.loads(Path(artifacts["training_record"].uri, "history.json").read_text())
    # The cut vision model has 8 tensors, moving statistics included, the whole text model has 4.
    assert proven == sum(len(named) for named in record["frozen"].values()) == 8 + 4


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

    from components.fusion_trainer import executor
    from components.fusion_trainer.component import training_part

    def place(specification: Specification, examples_uri: str, champion: str = "") -> Path:
        examples = standard_artifacts.Examples()
        examples.uri = examples_uri
        properties = {
            executor.SPECIFICATION_KEY: training_part(specification),
            executor.CHECKPOINTS_KEY: "checkpoints",
            executor.CHAMPION_KEY: champion,
        }
        return executor.checkpoint_of({"examples": [examples]}, properties)._folder

    same, again = (place(specification, "rows/1") for _ in range(2))

    assert same == again
    assert same.parent == Path("checkpoints")
    assert place(specification, "rows/2") != same
    assert place(with_rate(specification, 0.5), "rows/1") != same
    assert place(specification, "rows/1", champion="serving/1") != same


# ------------------------------------------------------------------------------ the component


def component_of(specification: Specification, **options: Any) -> Any:
    from tfx.types import channel_utils, standard_artifacts

    from components.artifacts import Submodel
    from components.fusion_trainer.component import FusionTrainer

    return FusionTrainer(
        specification,
        examples=channel_utils.as_channel([standard_artifacts.Examples()]),
        transform_graph=channel_utils.as_channel([standard_artifacts.TransformGraph()]),
        submodels={
            name: channel_utils.as_channel([Submodel()]) for name in specification.imported()
        },
        checkpoints="checkpoints",
        **options,
    )


def test_each_sub_model_has_a_channel_of_its_own(specification: Specification) -> None:
    from tfx.types import standard_artifacts

    from components.artifacts import Submodel, TrainingRecord

    component = component_of(specification)

    assert {key: channel.type for key, channel in component.inputs.items()} == {
        "examples": standard_artifacts.Examples,
        "transform_graph": standard_artifacts.TransformGraph,
        "submodel_vision": Submodel,
        "submodel_text": Submodel,
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
    without = component_of(specification).exec_properties["champion"]
    given = component_of(specification, champion=Path("/serving/7")).exec_properties["champion"]

    assert (without, given) == ("", "/serving/7")


def part(specification: Specification) -> str:
    from components.fusion_trainer.component import training_part

    return training_part(specification)


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
    ],
    ids=["evaluation", "publish"],
)
def test_a_threshold_or_a_publishing_folder_trains_nothing_again(
    change: dict[str, Any], specification: Specification
) -> None:
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
