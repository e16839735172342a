"""Rolling back and forward: what a model server sees changes once, whole or not at all."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import HOST
from tfx_fusion.modules.registry import changes
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.versions import newest_version, statuses

Contents = Callable[[], dict[str, str]]


@pytest.fixture
def names(publish_content: Callable[..., Any]) -> dict[str, str]:
    """Four published versions, a to d: their numbers by their content."""
    return {content: publish_content(content).version.name for content in "abcd"}


def ended_process() -> int:
    """The number of a process that has ended."""
    process = multiprocessing.get_context("fork").Process()
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def test_without_a_version_the_one_before_is_served(
    names: dict[str, str], serving: Path, contents: Contents
) -> None:
    done = roll_back(serving, None)

    assert done.served.name == names["c"]
    assert [version.name for version in done.rolled_back] == [names["d"]]
    assert newest_version(serving) == serving / names["c"]
    assert contents() == {"a": "live", "b": "live", "c": "live", "d": "rolled back"}
    roll_back(serving, None)
    assert newest_version(serving) == serving / names["b"]


def test_all_above_the_wanted_version_are_rolled_back(
    names: dict[str, str], serving: Path, contents: Contents
) -> None:
    roll_back(serving, names["b"])

    assert newest_version(serving) == serving / names["b"]
    assert contents() == {"a": "live", "b": "live", "c": "rolled back", "d": "rolled back"}
    assert statuses(serving) == {
        names["d"]: "rolled back", names["c"]: "rolled back",
        names["b"]: "served", names["a"]: "retained",
    }  # fmt: skip


def test_forward_again_brings_back_only_what_is_asked_for(
    names: dict[str, str], serving: Path, contents: Contents
) -> None:
    roll_back(serving, names["a"])
    done = roll_back(serving, names["d"])

    assert (done.served.name, done.rolled_back) == (names["d"], [])
    assert newest_version(serving) == serving / names["d"]
    assert contents() == {"a": "live", "b": "rolled back", "c": "rolled back", "d": "live"}


def test_from_one_rolled_back_version_to_an_earlier_one_while_another_is_served(
    names: dict[str, str], serving: Path, contents: Contents
) -> None:
    roll_back(serving, names["a"])
    roll_back(serving, names["d"])
    done = roll_back(serving, names["b"])

    assert [version.name for version in done.rolled_back] == [names["d"]]
    assert newest_version(serving) == serving / names["b"]
    assert contents() == {"a": "live", "b": "live", "c": "rolled back", "d": "rolled back"}


def test_the_served_version_stays_where_it_is_the_one_asked_for(
    names: dict[str, str], serving: Path
) -> None:
    done = roll_back(serving, names["d"])

    assert (done.served.path, done.rolled_back) == (serving / names["d"], [])


@pytest.mark.parametrize(("target", "done"), [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)])
def test_a_server_sees_the_old_version_until_it_sees_the_wanted_one(
    target: str,
    done: int,
    names: dict[str, str],
    serving: Path,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process ends after `done` renames; 'b' is rolled back before, so it takes one more."""
    for content in "acd":
        roll_back(serving, names[content])
    assert contents() == {"a": "live", "b": "rolled back", "c": "live", "d": "live"}
    before, served = contents(), newest_version(serving)
    true_move, made = changes.move, []

    class Killed(BaseException):
        pass

    def move(source: Path, wanted: Path) -> None:
        if len(made) == done:
            raise Killed
        made.append(source)
        assert newest_version(serving) == served
        true_move(source, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(changes, "move", move)
        patch.setattr(
            changes, "_undo_partial_renames", lambda own: None
        )  # what a killed process does not do
        with pytest.raises(Killed):
            roll_back(serving, names[target])
    assert newest_version(serving) == served

    stray = serving / changes.OWN_FOLDER / f".{HOST}-{ended_process()}-0123abcd.tmp.json"
    stray.touch()  # the process ended while it wrote
    with changes.locked(serving):
        pass

    assert not stray.exists()
    assert contents() == before
    assert newest_version(serving) == served


def test_a_rollback_that_was_killed_after_its_last_rename_holds(
    names: dict[str, str], serving: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(changes, "_undo_partial_renames", lambda own: None)
        roll_back(serving, names["b"])
    assert (serving / changes.OWN_FOLDER / changes.RENAMES).exists()

    with changes.locked(serving):
        pass

    assert contents() == {"a": "live", "b": "live", "c": "rolled back", "d": "rolled back"}
    assert not (serving / changes.OWN_FOLDER / changes.RENAMES).exists()


def test_a_rename_that_fails_undoes_those_before_it(
    names: dict[str, str], serving: Path, contents: Contents
) -> None:
    before = contents()
    taken = serving / f"{names['d']}.rolled-back"
    taken.mkdir()
    (taken / "something").touch()

    with pytest.raises(OSError, match="not empty"):
        roll_back(serving, names["b"])

    assert contents() == before


# ------------------------------------------------------------------------------- what is refused


def test_an_unknown_version_is_refused_with_the_nearest(
    names: dict[str, str], serving: Path
) -> None:
    with pytest.raises(RunError) as caught:
        roll_back(serving, names["b"] + "0")

    # Versions that were published within seconds are equally near.
    start = f"{serving} has no version '{names['b']}0'; did you mean '"
    assert str(caught.value) in {f"{start}{name}'?" for name in names.values()}


def test_a_version_that_is_gone_is_refused_and_nothing_changes(
    names: dict[str, str], serving: Path, contents: Callable[[], dict[str, str]]
) -> None:
    shutil.rmtree(serving / names["a"])
    before = contents()
    with pytest.raises(RunError) as caught:
        roll_back(serving, names["a"])

    assert str(caught.value).startswith(f"{serving} has no version '{names['a']}'; did you mean ")
    assert contents() == before


def test_there_is_no_way_back_from_the_first_version(
    publish_content: Callable[..., Any], serving: Path
) -> None:
    first = publish_content("a").version.name

    with pytest.raises(RunError, match=f"there is no version before {first}, the only one served"):
        roll_back(serving, None)


@pytest.mark.parametrize("name", [None, "1"])
def test_where_nothing_is_published_nothing_is_made(name: str | None, serving: Path) -> None:
    with pytest.raises(RunError, match="nothing has been published yet"):
        roll_back(serving, name)

    assert not serving.exists()


def test_a_damaged_record_of_renames_is_set_aside_with_a_message_and_blocks_nobody(
    names: dict[str, str], serving: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = serving / changes.OWN_FOLDER / changes.RENAMES
    file.write_bytes(b'[["1", \xff')

    roll_back(serving, None)

    [message] = caplog.messages
    assert message.startswith(f"{file} is damaged (")
    assert "it was renamed to renames.json.damaged; a rollback in" in message
    assert newest_version(serving) == serving / names["c"]
