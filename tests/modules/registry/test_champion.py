"""The champion: which version it is, and whether a candidate can be compared with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.registry.champion import champion_state, copy_champion
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.version_record import VERSION_RECORD_FILE
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.spec.views import TaskView
from tfx_fusion.modules.training.export import SPECIFICATION_FILE

SEVERAL = ("outputs:\n", "outputs:\n  more: {from: scores, label: colour, loss: huber}\n")
IMAGE = ("shape: [8, 8, 3]}", "shape: [4, 4, 3]}")
LABEL = "colour: {type: category, column: colour, classes: [red, green, blue]}"


@pytest.fixture
def task(shared_world: Path) -> Callable[..., TaskView]:
    """What the models of the small specification do, with pieces of its text replaced."""

    def make(*changes: tuple[str, str], path: Path) -> TaskView:
        text = (shared_world / "fusion.yaml").read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = path / "changed.yaml"
        file.write_text(text.replace("models/", f"{shared_world}/models/"))
        return TaskView.of(load_specification(file))

    return make


def write_specification_into(version: Path, shared_world: Path) -> None:
    specification = load_specification(shared_world / "fusion.yaml")
    (version / SPECIFICATION_FILE).write_text(json.dumps(specification.model_dump(mode="json")))


def reason_of(serving: Path, task: TaskView, target: Path) -> str:
    champion = copy_champion(serving, task, target)
    assert champion is not None
    return champion.not_comparable


def test_the_champion_is_the_newest_version_that_was_not_rolled_back(
    publish_content: Callable[..., Any],
    serving: Path,
    task: Callable[..., TaskView],
    tmp_path: Path,
) -> None:
    first, _ = publish_content("a"), publish_content("b")
    roll_back(serving, None)

    champion = copy_champion(serving, task(path=tmp_path), tmp_path / "copy")

    assert champion is not None
    assert champion.version == first.version.name
    assert champion.digest == first.record.model_digest
    assert (tmp_path / "copy" / "saved_model.pb").read_text() == "a saved_model.pb"


def test_without_a_published_model_there_is_no_champion_and_nothing_is_made(
    serving: Path, task: Callable[..., TaskView], tmp_path: Path
) -> None:
    assert copy_champion(serving, task(path=tmp_path), tmp_path / "copy") is None
    assert champion_state(serving) == ""
    assert not serving.exists()
    assert not (tmp_path / "copy").exists()


def test_its_state_changes_with_each_publishing_rollback_and_version_record(
    publish_content: Callable[..., Any], serving: Path
) -> None:
    publish_content("a")
    first = champion_state(serving)
    publish_content("b")
    second = champion_state(serving)
    assert champion_state(serving) == second
    roll_back(serving, None)
    assert champion_state(serving) == first
    version = serving / first.split()[0]
    (version / VERSION_RECORD_FILE).unlink()

    assert len({first, second, champion_state(serving), ""}) == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([], ""),
        ([("seed: 7", "seed: 8"), ("units: 8", "units: 16"), ("{min: 0.2}", "{min: 0.3}")], ""),
        ([IMAGE], ""),  # scaled in the graph of each model
        ([SEVERAL], "it does not predict 'more' against the label 'colour'"),
        (
            [("[red, green, blue]", "[green, red, blue]")],
            "the label 'colour' has another type or other classes in it",
        ),
        (
            [("words:", "text_of_row:"), ("tokens: words", "tokens: text_of_row")],
            "it reads 'words', which the examples no longer contain",
        ),
        (
            [("column: image_path,", "column: image_path, missing: allowed,")],
            "it requires 'image', which may be missing now",
        ),
        (
            [(LABEL, "colour: {type: number, column: colour}")],
            "it reads 'colour' as [] of string, now [] of float32",
        ),
    ],
    ids=[
        "itself", "another head", "another size", "a further output", "other classes",
        "another feature", "rows without a feature", "another label",
    ],
)  # fmt: skip
def test_a_candidate_of_another_task_is_not_compared(
    changes: list[tuple[str, str]],
    reason: str,
    publish_content: Callable[..., Any],
    shared_world: Path,
    serving: Path,
    task: Callable[..., TaskView],
    tmp_path: Path,
) -> None:
    write_specification_into(publish_content("a").version.path, shared_world)

    found = reason_of(serving, task(*changes, path=tmp_path), tmp_path / "copy")

    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_a_champion_that_does_not_say_what_it_does_is_not_compared(
    publish_content: Callable[..., Any],
    serving: Path,
    task: Callable[..., TaskView],
    tmp_path: Path,
) -> None:
    publish_content("a")

    found = reason_of(serving, task(path=tmp_path), tmp_path / "copy")

    assert found == f"it has no {SPECIFICATION_FILE} that can be read"
