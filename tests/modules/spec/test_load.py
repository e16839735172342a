"""The YAML file itself: what can be read, and where each problem is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import assert_reported, line_of, problems_of

from tfx_fusion.modules.spec import (
    Stage,
    load_specification,
)

Write = Callable[..., Path]

STAGE = "    - {name: head, epochs: 3, learning_rate: 1e-2}"


def test_anchors_and_merge_keys_are_understood(write_specification: Write) -> None:
    shared = "    - &shared {name: head, epochs: 3, learning_rate: 1e-2}"
    path = write_specification((STAGE, f"{shared}\n    - {{<<: *shared, name: longer, epochs: 9}}"))

    stages = load_specification(path).training.stages

    assert stages[1] == Stage(name="longer", epochs=9, learning_rate=0.01)


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("  seed: 7\n", "  seed: 7\n  seed: 8\n", "  seed: 8", "seed"),
        (
            "  scores: {layers",
            "  hidden: {layers",
            "  hidden: {layers: [Dense: {units: 3",
            "hidden",
        ),
        ("epochs: 3", "epochs: 3, epochs: 4", "epochs: 3", "epochs"),
        ("seed: 7", '"seed": 7\n  seed: 8', "  seed: 8", "seed"),
    ],
)
def test_a_key_that_is_there_twice_is_reported_with_its_line(
    write_specification: Write, old: str, new: str, line: str, key: str
) -> None:
    path = write_specification((old, new))

    (problem,) = problems_of(path)

    assert problem == (
        f"{path}:{line_of(path, line)}: duplicate key '{key}': remove or rename one of the two"
    )


def test_every_problem_is_reported_at_once(write_specification: Write) -> None:
    path = write_specification(
        ("epochs: 3", "epochs: many"),
        ("batch_size: 16", "batch_size: 0"),
        ("train: 0.7", "train: 0.6"),
        ("merge: concatenate", "merge: concat"),
    )

    reported = "\n".join(problems_of(path))

    for key in ("training.stages.0.epochs", "training.batch_size", "data.split", "graph.joined"):
        assert f" {key}" in reported


def test_an_unknown_key_does_not_hide_other_problems(write_specification: Write) -> None:
    path = write_specification(
        ("name: colours", "name: colours\ntitle: Colours"),
        ("batch_size: 16", "bathc_size: 16\n  sed: 3"),
        ("epochs: 3", "epochs: many"),
    )

    reported = "\n".join(problems_of(path))

    for key in ("title", "training.bathc_size", "training.sed", "training.stages.0.epochs"):
        assert f" {key}: " in reported


def test_a_mistake_behind_a_merge_key_is_reported_with_a_line(write_specification: Write) -> None:
    shared = "    - &shared {name: head, epochs: 3, learning_rate: fast}"
    path = write_specification((STAGE, f"{shared}\n    - {{<<: *shared, name: longer}}"))

    first, second = problems_of(path)

    assert_reported(first, f"{path}:{line_of(path, '&shared')}: training.stages.0.learning_rate: ")
    # The key itself stands only in the merged mapping; the item that merges it is named.
    assert "training.stages.1.learning_rate: " in second
    assert second.startswith(
        (f"{path}:{line_of(path, '&shared')}:", f"{path}:{line_of(path, '<<')}:")
    )


def test_a_file_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.yaml") == [f"{tmp_path / 'none.yaml'}: no such file"]


def test_a_folder_is_no_specification(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path)

    assert_reported(problem, f"{tmp_path}: cannot be read as UTF-8 text: … directory")


def test_a_file_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_bytes("name: fär\n".encode("latin-1"))

    (problem,) = problems_of(path)

    assert_reported(problem, f"{path}: cannot be read as UTF-8 text: … 0xe4 in position 7")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("name: [colours\ndata: 3\n", 2, "not valid YAML: expected ',' or ']'"),
        ("name: colours\n\tdata: 3\n", 2, "not valid YAML: found character '\\t'"),
        ("name: colours\ndata: *rows\n", 2, "not valid YAML: found undefined alias 'rows'"),
        ('name: "colours\n', 2, "not valid YAML: found unexpected end of stream"),
        ("name: a\n---\nname: b\n", 2, "not valid YAML: … another document"),
    ],
)
def test_broken_yaml_is_reported_with_its_line(
    tmp_path: Path, text: str, line: int, expected: str
) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_text(text)

    (problem,) = problems_of(path)

    assert_reported(problem, f"{path}:{line}: {expected}")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "colours\n", "- name\n- data\n"])
def test_a_file_must_hold_a_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_text(text)

    assert problems_of(path) == [f"{path}: expected a mapping of keys to values"]
