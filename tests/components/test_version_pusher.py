"""VersionPusher with real artifacts: what it publishes, what it leaves, and what it says of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.evaluation.quality import Line, Quality, write_quality
from tfx_fusion.modules.registry.publish import current_champion
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.version_record import Provenance, read_version_record
from tfx_fusion.modules.registry.versions import Champion, all_versions
from tfx_fusion.modules.spec import load_specification

pytestmark = pytest.mark.component

MODEL_BLESSED, HAS_MODEL = "blessed", "has_model"
METRICS = {"colour": {"example_count": 40.0, "accuracy": 0.75}}


@pytest.fixture
def provenance(shared_world: Path) -> Provenance:
    from tfx_fusion.modules.submodels.inspection import inspect_submodel

    specification = load_specification(shared_world / "fusion.yaml")
    inspections = {
        name: inspect_submodel(path) for name, (_, path) in specification.imported().items()
    }
    return Provenance.of(specification, inspections, "f" * 64, "20261123-041501")


@pytest.fixture
def push(tmp_path: Path, provenance: Provenance) -> Callable[..., Any]:
    """Runs the executor on a model of some content; returns the artifact that it filled."""
    quality = Quality(lines=(Line(output="colour", metric="accuracy", rows=40, value=0.75),))
    write_quality(quality, tmp_path / "evaluation")

    def attempt(
        content: str,
        blessed: bool = True,
        served: bool = True,
        keep: int = 0,
        run: str = "",
        champion: Champion | None = None,
    ) -> Any:
        from tfx.types import standard_artifacts

        from tfx_fusion.components.artifacts import DataGateReport
        from tfx_fusion.components.channels import describe_champion, describe_data
        from tfx_fusion.components.version_pusher import executor

        inputs = {
            executor.MODEL_BLESSING_KEY: standard_artifacts.ModelBlessing(),
            executor.INFRA_BLESSING_KEY: standard_artifacts.InfraBlessing(),
            executor.EVALUATION_KEY: standard_artifacts.ModelEvaluation(),
            executor.CHAMPION_KEY: standard_artifacts.Model(),
            executor.GATE_KEY: DataGateReport(),
        }
        for key in (MODEL_BLESSED, HAS_MODEL):
            inputs[executor.INFRA_BLESSING_KEY].set_int_custom_property(key, int(served))
        inputs[executor.INFRA_BLESSING_KEY].uri = str(tmp_path / content)
        inputs[executor.EVALUATION_KEY].uri = str(tmp_path / "evaluation")
        inputs[executor.MODEL_BLESSING_KEY].set_int_custom_property("blessed", int(blessed))
        champion = current_champion(tmp_path / "serving") if champion is None else champion
        describe_champion(inputs[executor.CHAMPION_KEY], champion)
        inputs[executor.GATE_KEY].uri = str(tmp_path / "gate")
        describe_data(inputs[executor.GATE_KEY], provenance.data)
        (tmp_path / "gate").mkdir(exist_ok=True)
        (tmp_path / "gate" / "statistics.pb").write_text(f"statistics of {content}")
        model = tmp_path / content / "stamped_model"
        model.mkdir(parents=True, exist_ok=True)
        (model / "saved_model.pb").write_text(content)
        pushed = standard_artifacts.PushedModel()
        pushed.uri = tempfile.mkdtemp(dir=tmp_path)
        executor.Executor().Do(
            {key: [artifact] for key, artifact in inputs.items()},
            {executor.PUSHED_KEY: [pushed]},
            {
                executor.FOLDER_KEY: str(tmp_path / "serving"),
                executor.KEEP_KEY: keep,
                executor.PROVENANCE_KEY: provenance.model_dump_json(exclude={"run"}),
                executor.RUN_KEY: run or provenance.run,
                executor.PLACES_KEY: "[]",
                executor.CONNECTED_KEY: json.dumps(
                    [executor.INFRA_BLESSING_KEY, executor.CHAMPION_KEY]
                ),
            },
        )
        return pushed

    return attempt


def summary(pushed: Any) -> Any:
    from tfx_fusion.components.base import summary_of

    return summary_of([pushed])


def test_a_blessed_model_becomes_a_version_whose_manifest_says_what_it_came_from(
    push: Callable[..., Any], provenance: Provenance, tmp_path: Path, shared_world: Path
) -> None:
    older = push("older").get_string_custom_property("pushed_version")
    pushed = push("a")

    _, version = all_versions(tmp_path / "serving")
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(version.path)
    assert pushed.get_string_custom_property("pushed_version") == version.name
    assert pushed.get_string_custom_property("status") == "published"
    assert json.loads(pushed.get_string_custom_property("metrics")) == METRICS
    record = read_version_record(version.path)
    assert record is not None
    assert record.metrics == METRICS
    assert record.gates.champion == older
    assert record.gates.evaluation["thresholds"] == {
        "colour": {"accuracy": {"min": 0.2, "max": None, "change": None}}
    }
    assert (record.run, record.data) == (provenance.run, provenance.data)
    vision = shared_world / "models" / "vision.keras"
    assert record.submodels["vision"].origin == str(vision)
    assert record.specification["name"] == "colours"
    kept = version.path / "assets.extra" / "statistics.pb"
    assert kept.read_text() == "statistics of a"
    # The artifact holds no further copy of the model.
    assert {file.name for file in Path(pushed.uri).iterdir()} == {"files.json", "version.json"}


@pytest.mark.parametrize("refusal", [{"blessed": False}, {"served": False}])
def test_a_model_that_was_not_blessed_is_not_published(
    push: Callable[..., Any], tmp_path: Path, refusal: dict[str, bool]
) -> None:
    pushed = push("a", **refusal)

    assert pushed.get_int_custom_property("pushed") == 0
    assert summary(pushed).status == "not blessed"
    assert not (tmp_path / "serving").exists()


def test_an_unchanged_model_is_said_to_be_the_version_served(push: Callable[..., Any]) -> None:
    first, again = push("a"), push("a")

    assert again.get_string_custom_property("status") == "already published"
    assert summary(again).is_published
    assert summary(again).path == summary(first).path


def test_a_repeated_attempt_of_a_run_publishes_nothing_again(
    push: Callable[..., Any], tmp_path: Path
) -> None:
    first = push("a", run="one")
    push("b", run="two")

    again = push("a", run="one")
    anew = push("a", run="three")

    assert again.get_string_custom_property("status") == "already published"
    assert again.get_string_custom_property("pushed_version") == first.get_string_custom_property(
        "pushed_version"
    )
    assert anew.get_string_custom_property("status") == "published"
    assert len(all_versions(tmp_path / "serving")) == 3


def test_a_model_that_was_rolled_back_is_not_published_again(
    push: Callable[..., Any], tmp_path: Path
) -> None:
    _, bad = push("a"), push("b")
    roll_back(tmp_path / "serving", None)

    again = push("b")

    assert again.get_int_custom_property("pushed") == 0
    assert (summary(bad).status, summary(again).status) == ("published", "rolled back")
    assert summary(again).version == bad.get_string_custom_property("pushed_version")


def test_a_model_compared_with_an_older_champion_is_not_published(
    push: Callable[..., Any], tmp_path: Path
) -> None:
    push("a")
    old = current_champion(tmp_path / "serving")
    push("b")

    with pytest.raises(RunError, match="the champion changed during the run"):
        push("c", champion=old)

    assert len(all_versions(tmp_path / "serving")) == 2


def test_old_versions_go_as_the_specification_says(
    push: Callable[..., Any], tmp_path: Path
) -> None:
    for content in "abc":
        push(content, keep=2)

    versions = all_versions(tmp_path / "serving")
    assert [(v.path / "saved_model.pb").read_text() for v in versions] == ["b", "c"]


def test_each_run_asks_anew_since_the_cache_cannot_see_the_publish_folder(
    provenance: Provenance,
) -> None:
    from tfx.types import channel_utils, standard_artifacts

    from tfx_fusion.components.artifacts import DataGateReport
    from tfx_fusion.components.version_pusher.component import VersionPusher

    def component(run: str) -> VersionPusher:
        def channel(kind: Any) -> Any:
            return channel_utils.as_channel([kind()])

        return VersionPusher(
            Path("serving"),
            provenance=provenance.model_copy(update={"run": run}),
            model_blessing=channel(standard_artifacts.ModelBlessing),
            infra_blessing=channel(standard_artifacts.InfraBlessing),
            evaluation=channel(standard_artifacts.ModelEvaluation),
            champion=channel(standard_artifacts.Model),
            data_gate=channel(DataGateReport),
        )

    one, other = component("one"), component("other")
    assert one.exec_properties["publish_folder"] == "serving"
    assert one.exec_properties["keep"] == 0
    assert one.exec_properties["provenance"] == other.exec_properties["provenance"]
    assert (one.exec_properties["run"], other.exec_properties["run"]) == ("one", "other")
