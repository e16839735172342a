"""ChampionResolver with real artifacts, and what the Evaluator makes of its answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.publish import publish
from tfx_fusion.modules.registry.version_record import VERSION_RECORD_FILE, model_digest
from tfx_fusion.modules.report.summaries import ChampionSummary
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.spec.views import TaskView

pytestmark = pytest.mark.component


def comparable(candidate: Any, champion: Any) -> bool:
    """Whether an Evaluator gets the champion as its baseline."""
    from tfx_fusion.components.channels import (
        BASELINE_KEY,
        MODEL_KEY,
        with_comparable_baseline,
    )

    inputs = {MODEL_KEY: [candidate], BASELINE_KEY: [champion]}
    given = with_comparable_baseline(inputs)
    assert given[MODEL_KEY] == [candidate]
    return BASELINE_KEY in given


@pytest.fixture
def resolve(shared_world: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs the executor; returns the artifact that it filled."""

    def run(serving: Path, state: str = "") -> Any:
        from tfx.types import standard_artifacts

        from tfx_fusion.components.champion_resolver import executor

        artifact = standard_artifacts.Model()
        artifact.uri = str(tmp_path / "champion")
        shutil.rmtree(artifact.uri, ignore_errors=True)  # as TFX does where a step fails
        task = TaskView.of(load_specification(shared_world / "fusion.yaml"))
        executor.Executor().Do(
            {},
            {executor.CHAMPION_KEY: [artifact]},
            {
                executor.FOLDER_KEY: str(serving),
                executor.STATE_KEY: state or executor.current_state(serving),
                executor.TASK_KEY: task.model_dump_json(),
            },
        )
        return artifact

    return run


@pytest.fixture
def candidate(tmp_path: Path, shared_world: Path) -> Any:
    """A Model artifact as FusionTrainer leaves it: the files of a SavedModel."""
    from tfx.types import standard_artifacts
    from tfx.utils import path_utils

    from tfx_fusion.modules.training.export import SPECIFICATION_FILE

    artifact = standard_artifacts.Model()
    artifact.uri = str(tmp_path / "candidate")
    folder = Path(path_utils.serving_model_dir(artifact.uri))
    (folder / SPECIFICATION_FILE).parent.mkdir(parents=True)
    (folder / "saved_model.pb").write_text("candidate")
    specification = load_specification(shared_world / "fusion.yaml")
    (folder / SPECIFICATION_FILE).write_text(specification.model_dump_json())
    return artifact


@pytest.fixture
def publish_candidate(candidate: Any, tmp_path: Path, shared_world: Path) -> Callable[[], Path]:
    """Publishes the candidate as it is now; returns the version folder."""

    def run() -> Path:
        from tfx.utils import path_utils

        from tfx_fusion.modules.registry.version_record import Provenance

        specification = load_specification(shared_world / "fusion.yaml")
        provenance = Provenance.of(specification.model_copy(update={"submodels": {}}), {}, "f", "r")
        model = Path(path_utils.serving_model_dir(candidate.uri))
        return publish(model, tmp_path / "serving", provenance, {}, None, None).version.path

    return run


def test_on_a_first_run_a_mark_and_a_property_say_that_there_is_none(
    resolve: Callable[..., Any], candidate: Any, tmp_path: Path
) -> None:
    from tfx_fusion.components.base import summary_of

    artifact = resolve(tmp_path / "serving")

    assert artifact.has_custom_property("model_exists")
    assert artifact.get_int_custom_property("model_exists") == 0
    mark = Path(artifact.uri, "no_champion.txt")
    assert summary_of([artifact]) == ChampionSummary()
    assert mark.read_text() == f"No model has been published to {tmp_path / 'serving'} yet.\n"
    assert not comparable(candidate, artifact)


def test_the_last_published_model_is_handed_on_as_a_copy(
    resolve: Callable[..., Any],
    candidate: Any,
    publish_candidate: Callable[[], Path],
    tmp_path: Path,
) -> None:
    from tfx.utils import path_utils

    from tfx_fusion.components.base import summary_of
    from tfx_fusion.components.channels import described_champion
    from tfx_fusion.modules.registry.versions import Champion

    version = publish_candidate()
    model = Path(path_utils.serving_model_dir(candidate.uri))
    (model / "saved_model.pb").write_text("another candidate")

    artifact = resolve(tmp_path / "serving")

    assert artifact.get_int_custom_property("model_exists") == 1
    assert artifact.get_string_custom_property("version") == version.name
    assert summary_of([artifact]) == ChampionSummary(version=version.name)
    copy = Path(path_utils.serving_model_path(artifact.uri))
    assert (copy / "saved_model.pb").read_text() == "candidate"
    assert artifact.get_string_custom_property("model_digest") == model_digest(copy)
    assert described_champion(artifact) == Champion(version.name, model_digest(copy))
    assert comparable(candidate, artifact)


def test_a_champion_published_since_the_run_began_fails_the_step(
    resolve: Callable[..., Any],
    candidate: Any,
    publish_candidate: Callable[[], Path],
    tmp_path: Path,
) -> None:
    """Else the cache would give it to a later run in place of the one that its key names."""
    from tfx_fusion.components.champion_resolver.executor import current_state

    serving = tmp_path / "serving"
    seen = [current_state(serving)]
    version = publish_candidate()
    seen.append(current_state(serving))
    (version / VERSION_RECORD_FILE).unlink()

    for state in seen:
        with pytest.raises(RunError, match=f"{serving}: another model was published .* run again"):
            resolve(serving, state)


def test_a_candidate_is_not_compared_with_itself(
    resolve: Callable[..., Any],
    candidate: Any,
    publish_candidate: Callable[[], Path],
    tmp_path: Path,
) -> None:
    publish_candidate()

    assert not comparable(candidate, resolve(tmp_path / "serving"))


def test_a_champion_of_another_task_is_handed_on_with_the_reason_not_to_compare(
    resolve: Callable[..., Any],
    candidate: Any,
    publish_candidate: Callable[[], Path],
    tmp_path: Path,
) -> None:
    from tfx_fusion.components.channels import described_champion
    from tfx_fusion.modules.training.export import SPECIFICATION_FILE

    version = publish_candidate()
    file = version / SPECIFICATION_FILE
    file.write_text(file.read_text().replace('"red","green"', '"green","red"'))
    Path(candidate.uri, "Format-Serving", "saved_model.pb").write_text("another candidate")

    artifact = resolve(tmp_path / "serving")

    assert artifact.get_int_custom_property("model_exists") == 1
    assert artifact.get_string_custom_property("not_comparable") == (
        "the label 'colour' has another type or other classes in it"
    )
    champion = described_champion(artifact)
    assert champion is not None
    assert champion.compared is None
    assert not comparable(candidate, artifact)


def test_the_component_declares_what_the_cache_must_see(shared_world: Path) -> None:
    from tfx.types import standard_artifacts

    from tfx_fusion.components.champion_resolver.component import ChampionResolver

    task = TaskView.of(load_specification(shared_world / "fusion.yaml"))
    component = ChampionResolver(Path("serving"), "17 abc", task)

    assert component.exec_properties == {
        "publish_folder": "serving",
        "champion_state": "17 abc",
        "task": task.model_dump_json(),
    }
    assert component.inputs == {}
    assert {key: channel.type for key, channel in component.outputs.items()} == {
        "champion": standard_artifacts.Model
    }
