"""One blessing for all that a specification demands, as the Pusher reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.evaluation.quality import Bound, Line, Quality, read_quality
from tfx_fusion.modules.spec import Evaluation, Publish, Specification, load_specification

pytestmark = pytest.mark.component

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
BLESSED, NOT_BLESSED = "BLESSED", "NOT_BLESSED"


@pytest.fixture
def specification(world: Path) -> Specification:
    return load_specification(world / "fusion.yaml")


def quality(*kept: bool | None, missed: tuple[str, ...] = ()) -> Quality:
    bounds = tuple(Bound(text="≥ 0", met=value) for value in kept)
    line = Line(output="colour", metric="accuracy", rows=3, value=0.5, bounds=bounds)
    return Quality(lines=(line,), missed=missed)


@pytest.mark.parametrize(
    ("of_tfx", "judged", "wanted"),
    [
        (BLESSED, quality(True), True),
        (BLESSED, quality(True, False, missed=("a margin",)), False),
        (NOT_BLESSED, quality(True), False),
        (None, quality(None), True),  # a change alone, while there is no champion
        (None, quality(True), True),  # a margin alone
        (None, quality(False, missed=("a margin",)), False),
        (None, quality(), False),  # nothing was asked of it
    ],
)
def test_a_model_is_blessed_that_keeps_every_bound_of_tfx_and_of_ours(
    of_tfx: str | None, judged: Quality, wanted: bool, tmp_path: Path
) -> None:
    from tfx.components.util.model_utils import is_model_blessed
    from tfx.types import standard_artifacts

    from tfx_fusion.components.fusion_evaluator.executor import bless

    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(tmp_path)
    if of_tfx:
        (tmp_path / of_tfx).touch()
        blessing.set_int_custom_property("blessed", int(of_tfx == BLESSED))

    bless(blessing, judged)

    assert is_model_blessed(blessing) == wanted
    assert [file.name for file in tmp_path.iterdir()] == [BLESSED if wanted else NOT_BLESSED]


def test_a_model_that_answers_as_the_champion_does_gains_nothing(
    specification: Specification, run_trainer: Callable, shared_training_inputs: Any, tmp_path: Path
) -> None:
    from tfx.types import artifact_utils, standard_artifacts
    from tfx.utils import json_utils, proto_utils

    from tfx_fusion.components.channels import describe_champion
    from tfx_fusion.components.fusion_evaluator import executor
    from tfx_fusion.modules.evaluation.tfma_config import predictions_config
    from tfx_fusion.modules.registry.versions import Champion
    from tfx_fusion.modules.spec.evaluated import EvaluationView

    thresholds = {"colour": {"accuracy": {"min": 0, "change": {"min": 0.001}}}}
    given = specification.model_copy(
        update={"evaluation": Evaluation.model_validate({"thresholds": thresholds})}
    )
    model = run_trainer(given, tmp_path / "trained")["model"]
    examples = standard_artifacts.Examples()
    examples.split_names = artifact_utils.encode_split_names(list(shared_training_inputs.splits))
    examples.uri = str(shared_training_inputs.splits["eval"].parent)
    outputs = {
        "evaluation": standard_artifacts.ModelEvaluation(),
        "blessing": standard_artifacts.ModelBlessing(),
    }
    for key, artifact in outputs.items():
        artifact.uri = str(tmp_path / key)

    champion = standard_artifacts.Model()
    champion.uri = model.uri
    version = Champion(version="1", digest="of another file", not_comparable="")
    describe_champion(champion, version)
    champion.set_int_custom_property("task_known", 1)
    context = executor.Executor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(tmp_path))
    executor.Executor(context).Do(
        {"examples": [examples], "model": [model], "baseline_model": [champion]},
        {key: [artifact] for key, artifact in outputs.items()},
        {
            executor.TASK_KEY: EvaluationView.of(given).model_dump_json(),
            "eval_config": proto_utils.proto_to_json(predictions_config(given, baseline=True)),
            "example_splits": json_utils.dumps(["eval"]),
        },
    )

    found = read_quality(tmp_path / "evaluation")
    [line] = found.lines
    assert line.champion == line.value
    assert line.change == 0
    assert [(bound.text, bound.met) for bound in line.bounds] == [
        ("≥ 0", True), ("change ≥ 0.001", False),
    ]  # fmt: skip
    assert outputs["blessing"].get_int_custom_property("blessed") == 0
    assert found.missed == (
        f"colour.accuracy changes by +0.0000 from the champion's {line.value:.4f}, at least 0.001 "
        "is needed",
    )


def test_another_publishing_folder_evaluates_nothing_again(specification: Specification) -> None:
    from tfx_fusion.modules.spec.evaluated import EvaluationView

    moved = specification.model_copy(update={"publish": Publish(path=Path("/elsewhere"))})
    stricter = specification.model_copy(update={"evaluation": Evaluation(confidence=0.9)})

    assert EvaluationView.of(moved) == EvaluationView.of(specification)
    assert EvaluationView.of(stricter) != EvaluationView.of(specification)


def test_another_margin_trains_no_head_again(specification: Specification) -> None:
    from tfx.types import standard_artifacts
    from tfx.types.channel_utils import as_channel

    from tfx_fusion.components.artifacts import Submodel
    from tfx_fusion.components.fusion_worth.component import FusionWorthGen
    from tfx_fusion.modules.embedding.plan import StagePlan

    def part(**evaluation: Any) -> str:
        changed = specification.model_copy(
            update={"evaluation": Evaluation.model_validate(evaluation)}
        )
        component = FusionWorthGen(
            changed,
            examples=as_channel([standard_artifacts.Examples()]),
            transform_graph=as_channel([standard_artifacts.TransformGraph()]),
            submodels={name: as_channel([Submodel()]) for name in changed.imported()},
            stages=[StagePlan(plan=None)],
            embeddings=[],
            model=as_channel([standard_artifacts.Model()]),
        )
        return component.exec_properties["specification"]

    assert part(worth={}) == part(worth={"margin": {"colour": {"accuracy": 0.1}}})
    assert part(worth={}) != part(worth={}, confidence=0.9)
