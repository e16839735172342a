"""Names that nothing defines or uses, names for two things, and cycles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import Change, colours, write_colours

from tfx_fusion.modules.spec import Specification, read_specification
from tfx_fusion.modules.validation.names import specification_problems

Specify = Callable[..., Specification]


@pytest.fixture
def specification(tmp_path: Path) -> Specify:
    """The small specification with pieces of its text replaced: `(old, new), …`."""
    return lambda *changes: colours(tmp_path, *changes)


def problems_of(specification: Specification) -> list[str]:
    return [str(problem) for problem in specification_problems(specification)]


def test_an_output_of_a_submodel_may_be_named(specification: Specify) -> None:
    given = specification(("[vision, text]", "[vision.features, vision.conv/relu, text]"))

    assert problems_of(given) == []


def test_a_feature_or_submodel_may_feed_an_output_straight(
    specification: Specify,
) -> None:
    given = specification(
        ("  joined: {merge: concatenate, inputs: [vision, text]}\n", ""),
        ("  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: joined}\n", ""),
        ("  scores: {layers: [Dense: {units: 3}], inputs: hidden}\n", ""),
        ("graph:\n", "graph: {}\n"),
        (
            "outputs:\n  colour: {from: scores,",
            "outputs:\n"
            "  second: {from: text, label: colour, loss: categorical_crossentropy}\n"
            "  colour: {from: vision.probabilities,",
        ),
    )

    assert problems_of(given) == []


def test_a_feature_may_serve_slices_only(specification: Specify) -> None:
    given = specification(
        ("labels:\n", "  shop: {type: category, column: shop, classes: [a, b]}\nlabels:\n"),
        ("evaluation:\n", "evaluation:\n  slices: [shop]\n"),
    )

    assert problems_of(given) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("[vision, text]", "[visoin, vision, text]"),
            "graph.joined.inputs: nothing is named 'visoin'; did you mean 'vision'?",
        ),
        (
            ("inputs: hidden}", "inputs: 'hiden'}"),
            "graph.scores.inputs: nothing is named 'hiden'; did you mean 'hidden'?",
        ),
        (
            ("{tokens: words}", "{tokens: words, more: zzz}"),
            "submodels.text.inputs.more: nothing is named 'zzz'; "
            "known: hidden, image, joined, scores, text, vision, words",
        ),
        (
            ("from: scores", "from: scroes"),
            "outputs.colour.from: nothing is named 'scroes'; did you mean 'scores'?",
        ),
        (
            ("[vision, text]", "[visoin.features, vision, text]"),
            "graph.joined.inputs: nothing is named 'visoin'; did you mean 'vision'?",
        ),
        (
            ("inputs: hidden}", "inputs: hidden.first}"),
            "graph.scores.inputs: 'hidden' has only one output: write 'hidden'",
        ),
    ],
)
def test_an_unknown_name_suggests_the_nearest(
    specification: Specify, change: Change, expected: str
) -> None:
    assert expected in problems_of(specification(change))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("labels:\n", "  extra: {type: number, column: a}\nlabels:\n"),
            "features.extra: nothing uses it; connect it or remove it",
        ),
        (
            ("[vision, text]", "[vision, vision]"),
            "submodels.text: nothing uses it; connect it or remove it",
        ),
        (
            ("outputs:\n", "  more: {layers: [ReLU], inputs: hidden}\noutputs:\n"),
            "graph.more: nothing uses it; connect it or remove it",
        ),
        (
            ("labels:\n", "labels:\n  extra: {type: number, column: a}\n"),
            "labels.extra: no output learns it; add an output or remove it",
        ),
    ],
)
def test_what_nothing_uses_is_reported(
    specification: Specify, change: Change, expected: str
) -> None:
    assert problems_of(specification(change)) == [expected]


@pytest.mark.parametrize(
    ("change", "cycles"),
    [
        (
            ("[vision, text]", "[vision, text, scores]"),
            {
                "joined → hidden → scores → joined",
                "hidden → scores → joined → hidden",
                "scores → joined → hidden → scores",
            },
        ),
        (("[vision, text]", "[vision, text, joined]"), {"joined → joined"}),
        (
            ("inputs: {image: image}", "inputs: {image: image, hint: joined}"),
            {"vision → joined → vision", "joined → vision → joined"},
        ),
    ],
)
def test_a_cycle_is_reported_in_the_direction_of_the_data(
    specification: Specify, change: Change, cycles: set[str]
) -> None:
    (problem,) = problems_of(specification(change))

    start = "graph: the graph has a cycle: "
    assert problem.startswith(start)
    assert problem.removeprefix(start).removesuffix("; remove one of these connections") in cycles


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("labels:\n", "  vision: {type: number, column: a}\nlabels:\n"),
            "submodels.vision: features has the same name; rename one of the two",
        ),
        (
            ("  joined: {merge", "  image: {merge"),
            "graph.image: features has the same name; rename one of the two",
        ),
        (
            ("  joined: {merge", "  text: {merge"),
            "graph.text: submodels has the same name; rename one of the two",
        ),
        (
            ("labels:\n  colour", "labels:\n  words"),
            "labels.words: features has the same name; rename one of the two",
        ),
    ],
)
def test_a_name_stands_for_one_thing_only(
    specification: Specify, change: Change, expected: str
) -> None:
    assert expected in problems_of(specification(change))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("labels:\n", "  steps_length: {type: number, column: n}\nlabels:\n"), "features"),
        (("labels:\n", "labels:\n  steps_length: {type: number, column: n}\n"), "labels"),
        (("graph:\n", "graph:\n  steps_length: {layers: [Flatten], inputs: steps}\n"), "graph"),
    ],
)
def test_the_name_of_a_length_is_reserved(specification: Specify, change: Change, key: str) -> None:
    steps = "  steps: {type: sequence, column: s, shape: [3, 2], variable: true}\nlabels:\n"
    expected = (
        f"{key}.steps_length: the name is reserved for the number of steps of the variable "
        "sequence 'steps'; rename one of the two"
    )

    assert expected in problems_of(specification(change, ("labels:\n", steps)))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (
            ("labels:\n", "  row_id: {type: number, column: a}\nlabels:\n"),
            "features.row_id",
        ),
        (
            ("labels:\n", "labels:\n  row_id: {type: number, column: a}\n"),
            "labels.row_id",
        ),
        (("  hidden: {", "  row_id: {"), "graph.row_id"),
        (("  vision: {", "  row_id: {"), "submodels.row_id"),
    ],
)
def test_row_id_is_reserved(specification: Specify, change: Change, key: str) -> None:
    expected = f"{key}: the name is reserved: every message identifies a row by it; rename it"
    assert expected in problems_of(specification(change))


def test_a_label_may_share_the_name_of_a_node(
    specification: Specify,
) -> None:
    given = specification(("  scores: {", "  colour: {"), ("from: scores", "from: colour"))

    assert problems_of(given) == []


def test_an_output_may_name_a_label_other_than_itself(
    specification: Specify,
) -> None:
    given = specification(
        ("outputs:\n  colour: {from: scores,", "outputs:\n  tint: {from: scores, label: colour,"),
        ("thresholds: {colour:", "thresholds: {tint:"),
    )

    assert problems_of(given) == []
    assert given.label_of("tint") == given.labels["colour"]


def test_every_problem_is_reported_at_once(specification: Specify) -> None:
    given = specification(
        ("[vision, text]", "[visoin, text]"),
        ("from: scores", "from: scroes"),
        ("loss: categorical_crossentropy", "loss: huber"),
        ("evaluation:\n", "evaluation:\n  slices: [wrods]\n"),
    )

    found = problems_of(given)

    for start in (
        "graph.joined.inputs: nothing is named 'visoin'",
        "submodels.vision: nothing uses it",
        "outputs.colour.from: nothing is named 'scroes'",
        "graph.scores: nothing uses it",
        "outputs.colour.loss: ",
        "evaluation.slices: no feature or label is named 'wrods'",
    ):
        assert len([problem for problem in found if problem.startswith(start)]) == 1


# What is left of an invalid file


@pytest.mark.parametrize(
    "invalid",
    [
        ("encoding: multi_hot", "encoding: multihot"),
        ("merge: concatenate", "merge: concat"),
        ("from: scores", "form: scores"),
        ("{type: category, column: colour,", "{type: catgory, column: colour,"),
        ("output: features}\n  text", "ouput: features}\n  text"),
        ("graph:\n", "graph: []\nspare:\n"),
    ],
    ids=["feature", "node", "output", "label", "sub-model", "section"],
)
def test_what_an_invalid_part_may_define_or_use_is_not_reported(
    tmp_path: Path, invalid: Change
) -> None:
    read = read_specification(write_colours(tmp_path, invalid))

    assert read.problems
    assert read.specification is not None
    assert specification_problems(read.specification, read.invalid) == []


def test_an_invalid_section_that_names_nothing_hides_no_unused_name(tmp_path: Path) -> None:
    file = write_colours(
        tmp_path, ("batch_size: 16", "batch_size: many"), ("[vision, text]", "[vision, vision]")
    )
    read = read_specification(file)

    assert read.specification is not None
    assert [str(p) for p in specification_problems(read.specification, read.invalid)] == [
        "submodels.text: nothing uses it; connect it or remove it"
    ]
