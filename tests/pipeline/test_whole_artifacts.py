"""What is damaged, changed or left over is neither reused nor mixed in, and blocks no run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rows_step import data_fingerprint, run_rows

from tfx_fusion.modules.data.file_list import LIST_FILE, example_files
from tfx_fusion.modules.errors import RunError, user_error

pytestmark = pytest.mark.component


@pytest.fixture(autouse=True)
def logged() -> None:
    from absl import logging

    logging.set_verbosity(logging.INFO)  # a run's steps are known by what is logged


def contents(examples: str) -> dict[str, bytes]:
    return {
        f"{split}/{Path(file).name}": Path(file).read_bytes()
        for split in ("Split-train", "Split-eval")
        for file in example_files(f"{examples}/{split}")
    }


def shard(examples: str) -> Path:
    return Path(example_files(f"{examples}/Split-train")[0])


def restored(path: Path, content: bytes) -> None:
    """Another content under the size and the time of change that a file has."""
    state = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


DAMAGES: dict[str, Callable[[str], object]] = {
    "deleted": lambda examples: shard(examples).unlink(),
    "cut": lambda examples: os.truncate(shard(examples), 100),
    "changed": lambda examples: restored(shard(examples), b"x" * shard(examples).stat().st_size),
    "doubled": lambda examples: (
        shard(examples).with_name("data_tfrecord-00000-of-00016").write_bytes(b"")
    ),
    "list": lambda examples: Path(examples, LIST_FILE).write_text("{"),
    "schema": lambda examples: restored(
        next(Path(examples.replace("/examples/", "/schema/")).iterdir()), b"feature {}"
    ),
}


def test_a_damaged_artifact_is_made_again_with_the_same_content(world: Path) -> None:
    first = run_rows(world)
    wanted = contents(first.outputs["examples"])
    assert run_rows(world).status == "reused"

    last = first
    for damage in DAMAGES.values():
        damage(last.outputs["examples"])
        again = run_rows(world)
        assert again.status == "done"
        assert again.outputs["examples"] != last.outputs["examples"]
        assert contents(again.outputs["examples"]) == wanted
        last = again
    assert run_rows(world).status == "reused"


def test_without_the_database_no_folder_of_an_earlier_run_is_written_into(world: Path) -> None:
    first = run_rows(world)
    wanted = contents(first.outputs["examples"])
    (world / "metadata.sqlite").unlink()

    again = run_rows(world)

    assert again.status == "done"
    assert int(Path(again.outputs["examples"]).name) > int(Path(first.outputs["examples"]).name)
    assert contents(first.outputs["examples"]) == contents(again.outputs["examples"]) == wanted
    assert run_rows(world).status == "reused"


def test_rows_changed_after_their_fingerprint_are_not_remembered_under_it(world: Path) -> None:
    """As when a file is edited while a run starts, and put back before anybody looks."""
    rows = world / "data" / "rows.csv"
    seen, before = data_fingerprint(world), rows.read_bytes()
    rows.write_bytes(before.replace(b"red", b"RED").replace(b"green", b"red"))
    rows.write_bytes(rows.read_bytes().replace(b"RED", b"green"))

    with pytest.raises(Exception, match="was changed while its rows were read") as caught:
        run_rows(world, seen)
    assert isinstance(user_error(caught.value), RunError)
    rows.write_bytes(before)

    again = run_rows(world, seen)
    assert again.status == "done"
    assert run_rows(world, seen).outputs == again.outputs


def test_an_output_folder_in_use_is_refused_by_its_name(tmp_path: Path) -> None:
    from tfx.types import standard_artifacts

    from tfx_fusion.components.base import listed_files

    (tmp_path / "data_tfrecord-00000-of-00016").write_bytes(b"")
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path)

    with (
        pytest.raises(RunError, match=f"^{tmp_path}: expected an empty folder .*delete the folder"),
        listed_files({}, {"examples": [artifact]}),
    ):
        pass


def test_an_input_that_changes_during_a_step_fails_it(tmp_path: Path) -> None:
    from tfx.types import standard_artifacts

    from tfx_fusion.components.base import listed_files

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    Path(model.uri).mkdir()
    with listed_files({}, {"model": [model]}):
        weights = Path(model.uri, "weights")
        weights.write_bytes(b"one")

    with (
        pytest.raises(RunError, match=f"^{weights}: its content was changed"),
        listed_files({"model": [model]}, {}),
    ):
        restored(weights, b"two")
