"""Publishing: whole or not at all, once, under rising numbers, however it is disturbed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry import changes
from tfx_fusion.modules.registry.publish import current_champion, publish
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.version_record import Provenance, model_digest, read_version_record
from tfx_fusion.modules.registry.versions import Champion, all_versions, newest_version

Publish = Callable[..., Any]


def visible(serving: Path) -> list[str]:
    """What a model server sees."""
    return sorted(path.name for path in serving.iterdir() if path.name.isdecimal())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_version_is_a_copy_of_the_model_with_a_manifest_in_it(
    publish_content: Publish, make_model: Callable[[str], Path], serving: Path
) -> None:
    older = publish_content("old").version
    before = datetime.now(UTC)
    outcome = publish_content("a")

    assert outcome.status == "published"
    version = outcome.version.path
    assert version.parent == serving
    assert newest_version(serving) == version
    published = files(version)
    del published["assets.extra/version.json"]
    assert published == files(make_model("a"))
    record = read_version_record(version)
    assert record is not None
    assert record == outcome.record
    assert record.version == version.name
    assert before <= record.published <= datetime.now(UTC)
    assert record.specification["name"] == "colours"
    assert record.data.fingerprint == "f" * 64
    assert record.submodels["vision"].digest == "ab" * 32
    assert record.metrics == {"colour": {"accuracy": 0.75}}
    assert record.gates.evaluation["thresholds"] == {
        "colour": {"accuracy": {"min": 0.5, "max": None}}
    }
    assert record.gates.champion == older.name
    assert record.model_digest == model_digest(make_model("a"))
    assert older.path.is_dir()


def test_the_statistics_of_its_data_go_with_a_version_and_do_not_make_it_another_model(
    make_model: Callable[[str], Path], provenance: Provenance, serving: Path, tmp_path: Path
) -> None:
    (tmp_path / "of.pb").write_bytes(b"statistics")
    model = make_model("a")

    outcome = publish(model, serving, provenance, {}, None, None, tmp_path / "of.pb")

    version = outcome.version.path
    assert (version / "assets.extra" / "statistics.pb").read_bytes() == b"statistics"
    assert model_digest(version) == model_digest(model)
    assert publish(model, serving, provenance, {}, None, None).status == "already published"


def test_a_version_that_is_copied_elsewhere_takes_its_manifest_along(
    publish_content: Publish, tmp_path: Path
) -> None:
    outcome = publish_content("a")

    shutil.copytree(outcome.version.path, tmp_path / "elsewhere" / "1")

    assert read_version_record(tmp_path / "elsewhere" / "1") == outcome.record


def test_a_version_can_be_read_by_whoever_can_read_the_model(
    publish_content: Publish, make_model: Callable[[str], Path]
) -> None:
    make_model("a").chmod(0o755)

    assert publish_content("a").version.path.stat().st_mode & 0o777 == 0o755


def test_numbers_are_times_and_rise_even_within_a_second(publish_content: Publish) -> None:
    numbers = [publish_content(content).version.number for content in "abc"]

    assert numbers == sorted(set(numbers))
    assert abs(numbers[0] - datetime.now(UTC).timestamp()) < 60


def test_an_unchanged_model_is_not_published_twice(
    publish_content: Publish, contents: Callable[[], dict[str, str]]
) -> None:
    first = publish_content("a")
    again = publish_content("a")

    assert (again.status, again.version) == ("already published", first.version)
    assert contents() == {"a": "live"}


def test_a_model_served_before_the_served_one_is_published_anew(
    publish_content: Publish, serving: Path
) -> None:
    first, _ = publish_content("a"), publish_content("b")
    back = publish_content("a")

    assert back.status == "published"
    assert newest_version(serving) == back.version.path != first.version.path


def test_what_a_run_has_published_it_does_not_publish_again(
    publish_content: Publish, serving: Path
) -> None:
    first, _ = publish_content("a", run="one"), publish_content("b", run="two")

    again = publish_content("a", run="one")

    assert (again.status, again.version.name) == ("already published", first.version.name)
    assert len(visible(serving)) == 2


def test_a_version_that_was_deleted_by_hand_is_published_anew(
    publish_content: Publish, serving: Path
) -> None:
    first = publish_content("a")
    shutil.rmtree(first.version.path)

    assert publish_content("a").status == "published"
    assert len(visible(serving)) == 1


def test_a_model_that_was_rolled_back_is_not_published_again(
    publish_content: Publish, serving: Path, contents: Callable[[], dict[str, str]]
) -> None:
    _, bad = publish_content("a"), publish_content("b")
    roll_back(serving, None)

    again = publish_content("b")

    assert (again.status, again.version.name) == ("rolled back", bad.version.name)
    assert contents() == {"a": "live", "b": "rolled back"}


def test_publishing_after_a_rollback_goes_on_with_a_higher_number(
    publish_content: Publish, serving: Path
) -> None:
    _, bad = publish_content("a"), publish_content("b")
    roll_back(serving, None)

    better = publish_content("c")

    assert better.version.number > bad.version.number
    assert newest_version(serving) == better.version.path


# ------------------------------------------------------------------------------- old versions


def test_only_the_newest_are_retained(
    publish_content: Publish, contents: Callable[[], dict[str, str]]
) -> None:
    for content in "abcd":
        publish_content(content, keep=2)

    assert contents() == {"c": "live", "d": "live"}


def test_all_are_retained_by_default(
    publish_content: Publish, contents: Callable[[], dict[str, str]]
) -> None:
    for content in "abcd":
        publish_content(content)

    assert list(contents()) == ["a", "b", "c", "d"]


def test_what_was_rolled_back_goes_first_and_what_was_rolled_back_to_stays(
    publish_content: Publish, serving: Path, contents: Callable[[], dict[str, str]]
) -> None:
    first = publish_content("a")
    publish_content("b")
    publish_content("c")
    roll_back(serving, first.version.name)

    publish_content("d", keep=2)
    assert contents() == {"a": "live", "d": "live"}
    publish_content("e", keep=2)
    assert contents() == {"d": "live", "e": "live"}


def test_what_was_rolled_back_to_stays_as_long_as_what_it_replaced(
    publish_content: Publish, serving: Path, contents: Callable[[], dict[str, str]]
) -> None:
    publish_content("a")
    good, _ = publish_content("b"), publish_content("c")
    roll_back(serving, good.version.name)

    publish_content("d", keep=1)

    assert contents() == {"b": "live", "d": "live"}


def test_what_others_put_into_the_folder_is_never_deleted(
    publish_content: Publish, make_model: Callable[[str], Path], serving: Path
) -> None:
    for number in ("3", "9999999999", "5.rolled-back"):
        shutil.copytree(make_model("foreign"), serving / number)
    for name in ("notes.txt", "17", "18/data.csv", ".registry/kept", ".registry/theirs/kept"):
        (serving / name).parent.mkdir(parents=True, exist_ok=True)
        (serving / name).write_text("theirs")
    theirs = files(serving)

    for content in "abc":
        newest = publish_content(content, keep=1).version.name

    assert theirs.items() <= files(serving).items()
    ours = [one for one in all_versions(serving) if read_version_record(one.path)]
    assert [one.name for one in ours] == [newest]
    assert int(newest) > 9999999999


def test_a_folder_that_is_itself_a_model_is_refused_and_left_as_it_is(
    make_model: Callable[[str], Path], provenance: Provenance
) -> None:
    model = make_model("a")
    before = files(model)
    for change in (
        lambda: publish(make_model("b"), model, provenance, {}, None, None),
        lambda: roll_back(model, None),
    ):
        with pytest.raises(RunError) as caught:
            change()
        assert str(caught.value) == (
            f"{model}: expected a folder of versions, found a SavedModel: name another folder; "
            f"of a version, {model.parent}"
        )
    assert files(model) == before


# ------------------------------------------------------------------------------- disturbances


class Killed(BaseException):
    """Stands for a process that ends at this very place."""


@pytest.mark.parametrize("step", ["copytree", "write_text", "rename"])
def test_a_failure_at_any_step_publishes_nothing_and_hinders_nobody(
    step: str, publish_content: Publish, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish_content("a")
    true_copy = shutil.copytree

    def copy_half(source: Path, target: Path) -> None:
        true_copy(source / "variables", target / "variables")
        raise Killed

    def fail(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "copytree":
            patch.setattr("tfx_fusion.modules.registry.publish.shutil.copytree", copy_half)
        elif step == "write_text":
            patch.setattr("tfx_fusion.modules.registry.publish.write_text", fail)
        else:
            patch.setattr("tfx_fusion.modules.registry.publish.put_in_place", fail)
        with pytest.raises(Killed):
            publish_content("b")

    assert [left.name for left in (serving / changes.OWN_FOLDER).iterdir()] == [changes.LOCK]
    assert visible(serving) == [old.version.name]
    assert publish_content("b").status == "published"
    assert len(visible(serving)) == 2
    assert [left.name for left in (serving / changes.OWN_FOLDER).iterdir()] == [changes.LOCK]


def publish_until_killed(model: Path, serving: Path, provenance: Provenance, reached: Any) -> None:
    """Publishes a model whose second file is never done with."""
    true_copy = shutil.copy2

    def copy(source: str, target: str, **how: Any) -> object:
        if Path(target).parent.name == "variables":
            Path(target).write_text("half")
            reached.set()
            signal.pause()
        return true_copy(source, target, **how)

    shutil.copytree.__defaults__ = (False, None, copy, False, False)  # where copy2 stands
    publish(model, serving, provenance, {}, current_champion(serving), None)


def test_a_process_killed_in_the_middle_of_the_copy_publishes_nothing(
    publish_content: Publish,
    make_model: Callable[[str], Path],
    provenance: Provenance,
    serving: Path,
) -> None:
    old = publish_content("a")
    fork = multiprocessing.get_context("fork")
    reached = fork.Event()
    process = fork.Process(
        target=publish_until_killed, args=(make_model("b"), serving, provenance, reached)
    )
    process.start()
    assert reached.wait(60)
    half = serving / changes.OWN_FOLDER / changes.PUBLISHING / "variables"
    assert (half / "variables.index").read_text() == "half"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    assert visible(serving) == [old.version.name]
    with changes.locked(serving):
        changes.clean_up(serving)  # of a change that goes on, nothing is touched
    half.mkdir(parents=True)
    changes.clean_up(serving)
    assert not half.exists()
    assert publish_content("b").status == "published"


def test_publishers_at_once_that_compare_again_all_publish_whole_under_numbers_of_their_own(
    make_model: Callable[[str], Path], provenance: Provenance, serving: Path
) -> None:
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(4)

    def work(model: Path) -> None:
        champion = None
        together.wait()
        for _ in range(4):
            try:
                publish(model, serving, provenance, {}, champion, None)
                return
            except RunError:
                champion = current_champion(serving)
        raise AssertionError("refused four times")

    processes = [fork.Process(target=work, args=(make_model(content),)) for content in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 4
    versions = all_versions(serving)
    names = [version.name for version in versions]
    assert len(set(names)) == 4
    compared = []
    for version in versions:
        published = files(version.path)
        record = read_version_record(version.path)
        assert record is not None
        assert record.version == version.name
        compared.append(record.gates.champion)
        content = published["saved_model.pb"].decode().split()[0]
        del published["assets.extra/version.json"]
        assert published == files(make_model(content))
    assert compared == [None, *names[:-1]]


def test_threads_that_publish_the_same_model_publish_it_once(
    make_model: Callable[[str], Path], provenance: Provenance, serving: Path
) -> None:
    model = make_model("a")
    outcomes: list[str] = []

    def work() -> None:
        outcomes.append(publish(model, serving, provenance, {}, None, None).status)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["already published"] * 3 + ["published"]
    assert len(visible(serving)) == 1


def test_a_model_compared_with_another_than_the_champion_of_the_moment_is_not_published(
    publish_content: Publish,
    make_model: Callable[[str], Path],
    provenance: Provenance,
    serving: Path,
    contents: Callable[[], dict[str, str]],
) -> None:
    def attempt(champion: Champion | None) -> str:
        try:
            return publish(make_model("d"), serving, provenance, {}, champion, 1).status
        except RunError as error:
            return str(error)

    first = publish_content("a")
    old = current_champion(serving)
    message = attempt(None)
    assert message.startswith(
        f"{serving}: the champion changed during the run: the model was compared with no version, "
        f"there was none, but now version {first.version.name} is served. It was not published; "
        "`fusion run` again compares"
    )
    second = publish_content("b")
    message = attempt(old)
    assert f"compared with version {first.version.name}, but now version " in message
    assert f"version {second.version.name} is served" in message
    new = current_champion(serving)
    roll_back(serving, None)
    assert f"but now version {first.version.name} is served" in attempt(new)
    roll_back(serving, second.version.name)
    (second.version.path / "saved_model.pb").write_text("changed by hand")
    (second.version.path / "assets.extra/version.json").unlink()
    assert "another model is served under this number" in attempt(new)
    assert contents() == {"a": "live", "changed": "live"}

    assert attempt(current_champion(serving)) == "published"


def test_a_model_that_changes_while_it_is_copied_is_not_published(
    publish_content: Publish, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = publish_content("a")
    true_copy = shutil.copytree

    def copy(source: Path, target: Path, *more: object) -> None:
        true_copy(source, target, *more)
        Path(target, "saved_model.pb").write_text("cut")

    monkeypatch.setattr("tfx_fusion.modules.registry.publish.shutil.copytree", copy)
    with pytest.raises(RunError, match="the model changed while it was copied: run again"):
        publish_content("b")
    assert visible(serving) == [old.version.name]


def test_a_folder_that_cannot_be_written_to_is_refused(
    publish_content: Publish, serving: Path
) -> None:
    serving.write_text("a file")

    with pytest.raises(RunError, match="expected a folder to write to: Not a directory; change"):
        publish_content("a")
