"""Publishing that is killed, raced or denied: whole versions or none."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folders import files, visible

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry import changes
from tfx_fusion.modules.registry.publish import current_champion, publish
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.version_record import Provenance, read_version_record
from tfx_fusion.modules.registry.versions import Champion, all_versions

Publish = Callable[..., Any]


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
