"""Files that appear whole, are on the disk by then, and leave nothing behind."""

from __future__ import annotations

import ast
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules import files
from tfx_fusion.modules.files import (
    HOST,
    hold,
    is_held,
    remove_unfinished,
    set_aside,
    whole_file,
    whole_folder,
    write_text,
)

ROOT = Path(__file__).resolve().parents[2]
LONGEST_NAME = 255


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was flushed and renamed, in this order, by the last part of its path."""
    seen: list[tuple[str, str]] = []
    true_flush, true_replace = files._flush, Path.replace

    def flush(path: Path) -> None:
        seen.append(("flush", "aside" if files.ASIDE.fullmatch(path.name) else path.name))
        true_flush(path)

    def replace(source: Path, target: Path) -> Path:
        seen.append(("rename", target.name))
        return true_replace(source, target)

    monkeypatch.setattr(files, "_flush", flush)
    monkeypatch.setattr(Path, "replace", replace)
    return seen


def test_a_file_is_flushed_then_renamed_and_then_its_folder_is_flushed(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    write_text(tmp_path / "folder" / "file.json", "text")

    assert calls == [("flush", "aside"), ("rename", "file.json"), ("flush", "folder")]
    assert (tmp_path / "folder" / "file.json").read_text() == "text"


def test_all_that_is_in_a_folder_is_flushed_before_it_is_renamed(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    with whole_folder(tmp_path / "model") as aside:
        (aside / "variables").mkdir()
        (aside / "variables" / "index").write_text("1")
        (aside / "link").symlink_to("nowhere")

    renamed = calls.index(("rename", "model"))
    assert {name for _, name in calls[:renamed]} == {"aside", "variables", "index"}
    assert calls[renamed + 1 :] == [("flush", tmp_path.name)]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_block_that_fails_changes_nothing_and_leaves_nothing(
    whole: Callable, tmp_path: Path
) -> None:
    before = tmp_path / "kept"
    write_text(before, "before")

    def fail() -> None:
        with whole(before) as aside:
            (aside / "half" if aside.is_dir() else aside).touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert before.read_text() == "before"


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    for name in ("n" * LONGEST_NAME, "ö" * (LONGEST_NAME // 2), "[st*r] 'é' #1 %20"):
        write_text(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name


def test_what_killed_processes_left_is_removed_and_nothing_of_living_ones(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process()
    process.start()
    process.join()
    for number, kept in ((process.pid, False), (os.getpid(), True), (1, True)):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / f".{HOST}-{number}-0123abcd.tmp.json").write_text(str(kept))
        (tmp_path / f".{HOST}-{number}-0123abcd.tmp").mkdir()
    another_machine = f".ffffff-{process.pid}-0123abcd.tmp"
    for name in (".theirs.tmp", another_machine):
        (tmp_path / name).write_text("True")

    remove_unfinished(tmp_path, below=False)
    assert (tmp_path / "folder" / f".{HOST}-{process.pid}-0123abcd.tmp.json").exists()
    assert not (tmp_path / f".{HOST}-{process.pid}-0123abcd.tmp").exists()
    remove_unfinished(tmp_path)

    left = sorted(path.name for path in tmp_path.rglob("*") if path.name != "folder")
    assert left == sorted(
        [".theirs.tmp", another_machine]
        + [f".{HOST}-{n}-0123abcd.tmp{end}" for n in (1, os.getpid()) for end in ("", ".json")]
    )


def test_what_is_damaged_is_renamed_with_a_message_and_never_over_an_earlier_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "state.npz"
    for content in "ab":
        file.write_text(content)
        set_aside(file, "cut off", "training starts from its first epoch")

    assert (tmp_path / "state.npz.damaged").read_text() == "a"
    assert (tmp_path / "state.npz.damaged-2").read_text() == "b"
    assert caplog.messages[0] == (
        f"{file} is damaged (cut off): it was renamed to state.npz.damaged; training starts from "
        "its first epoch"
    )


def test_a_lock_is_free_once_its_process_was_killed(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    fork = multiprocessing.get_context("fork")
    reached = fork.Event()

    def work() -> None:
        with hold(file):
            reached.set()
            fork.Event().wait(60)

    assert not is_held(file)
    process = fork.Process(target=work)
    process.start()
    assert reached.wait(60)
    assert is_held(file)
    with pytest.raises(BlockingIOError), hold(file, wait=False):
        pass
    process.kill()
    process.join()

    assert not is_held(file)


def test_nothing_is_renamed_but_by_this_module() -> None:
    """A rename elsewhere would be of something that was not flushed."""
    found = []
    for folder in ("modules", "components", "pipeline", "kubeflow", "tfx_fusion"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file == ROOT / "modules" / "files.py" or file.is_symlink():
                continue
            found += [
                f"{file.relative_to(ROOT)}:{node.lineno}"
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Call) and _renames(node)
            ]
    # In a store of objects, where TensorFlow's rename is all there is.
    assert [place.partition(":")[0] for place in found] == ["modules/data/file_list.py"]


def _renames(call: ast.Call) -> bool:
    """Whether a call is of a rename; `str.replace` takes two arguments, `Path.replace` one."""
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = ast.unparse(call.func.value)
    name = call.func.attr
    if name == "replace":
        return owner == "os" or (owner != "dataclasses" and len(call.args) == 1)
    return name in ("rename", "renames") or (owner == "shutil" and name == "move")
