"""The YAML file itself: what can be read, and where each problem is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import assert_reported, line_of, problems_of

from tfx_fusion.modules.errors import Problem, SpecificationError
from tfx_fusion.modules.spec import Stage, load_specification, read_specification
from tfx_fusion.modules.spec.load import shown

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


# What is valid of an invalid file


def test_the_valid_parts_of_a_file_can_still_be_checked(
    write_specification: Write,
) -> None:
    read = read_specification(
        write_specification(
            ("encoding: multi_hot", "encoding: multihot"),
            ("batch_size: 16", "batch_size: many"),
            ("name: colours", "name: colours\ntitle: Colours"),
        )
    )

    assert read.invalid == {"features.words", "training", "title"}
    assert [problem.key for problem in read.problems] == [
        "title", "features.words.encoding", "training.batch_size",
    ]  # fmt: skip
    assert read.specification is not None
    assert list(read.specification.features) == ["image"]
    assert list(read.specification.graph) == ["joined", "hidden", "scores"]
    assert read.specification.publish.path.name == "serving"


def test_a_section_may_lose_all_its_parts(write_specification: Write) -> None:
    read = read_specification(write_specification(("from: scores", "form: scores")))

    assert read.specification is not None
    assert read.specification.outputs == {}
    assert read.invalid == {"outputs.colour"}


def test_a_valid_file_has_nothing_invalid(write_specification: Write) -> None:
    path = write_specification()

    read = read_specification(path)

    assert read.specification == load_specification(path)
    assert (read.problems, read.invalid) == ((), frozenset())


# Where a problem is


@pytest.mark.parametrize(
    ("key", "marker"),
    [
        ("graph.joined.inputs", "  joined:"),
        ("training.stages.0.epochs", "- {name: head"),
        ("training.stages.7", "  stages:"),
        ("evaluation.thresholds.colour.auc", "  thresholds:"),
        ("submodels.vision.inputs.image.left", "  vision:"),
        ("kubeflow.image", "name: colours"),
    ],
)
def test_a_key_is_located_or_else_the_innermost_part_that_holds_it(
    write_specification: Write, key: str, marker: str
) -> None:
    path = write_specification()

    [located] = read_specification(path).file.locate([Problem(key, "expected another")])

    assert str(located) == f"{path}:{line_of(path, marker)}: {key}: expected another"


def test_a_name_may_hold_dots(write_specification: Write) -> None:
    path = write_specification(
        (
            "{path: models/vision.keras, inputs: {image: image}, output: features}",
            "\n    path: a.keras\n    inputs:\n      a: image\n      a.b: image",
        )
    )

    [located] = read_specification(path).file.locate([Problem("submodels.vision.inputs.a.b", "x")])

    assert located.place == f"{path}:{line_of(path, 'a.b:')}"


def test_problems_are_shown_once_and_in_the_order_of_the_file(write_specification: Write) -> None:
    file = read_specification(write_specification()).file
    given = [Problem("publish.path", "x"), Problem("name", "x"), Problem("publish.path", "x")]

    assert [problem.key for problem in file.locate(given)] == ["name", "publish.path"]


def test_what_is_no_key_of_the_file_has_no_place(write_specification: Write) -> None:
    file = read_specification(write_specification()).file

    assert file.locate([Problem("the image", "x")]) == [Problem("the image", "x")]


def test_an_error_raised_later_is_located(write_specification: Write) -> None:
    path = write_specification()

    with pytest.raises(SpecificationError) as caught, read_specification(path).file.locating():
        raise SpecificationError(["name: expected another"])

    assert caught.value.problems == [f"{path}:1: name: expected another"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        ([1, "a", [False]], "[1, 'a', [false]]"),
        ({"a": {"b": 1.5}}, "{a: {b: 1.5}}"),
        ("x" * 200, "'" + "x" * 79 + "…"),
    ],
)
def test_a_value_is_shown_as_yaml_and_not_as_python(value: object, text: str) -> None:
    assert shown(value) == text


def test_aliases_that_stand_for_more_than_memory_holds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fusion.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path.write_text("\n".join(lines))

    assert problems_of(path) == [
        f"{path}: its aliases stand for more than 100,000 values: write them out"
    ]


@pytest.mark.parametrize("text", ["&a {a: *a}", "&a\na: {b: {c: *a}}"])
def test_an_alias_to_what_it_stands_in_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_text(text)

    assert problems_of(path) == [f"{path}: an alias refers to what it stands in: write it out"]


@pytest.mark.parametrize("depth", [65, 2000])
def test_values_that_are_nested_too_deep_are_refused(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_text(f"a: {'[' * depth}{']' * depth}")

    assert problems_of(path) == [
        f"{path}: its values are nested too deep: at most 64 levels can be read"
    ]


def test_a_path_of_another_type_beside_an_unknown_key_is_a_problem_of_its_own(
    write_specification: Write,
) -> None:
    path = write_specification(("publish: {path: ", "publish: {pathos: 1, path: [1], keep: 1} # "))

    assert any("publish.path: " in problem for problem in problems_of(path))
