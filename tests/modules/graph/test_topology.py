"""The fusion graph as names: its order, and what does not fit together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.topology import references, source_of
from tfx_fusion.modules.spec import Merge, Specification, load_specification
from tfx_fusion.modules.validation.names import ordered_nodes

Write = Callable[..., Path]
Change = tuple[str, str]

LABEL = "{type: category, column: colour, classes: [red, green, blue]}"
NUMBER_LABEL = (LABEL, "{type: number, column: colour}")
MULTI_LABEL = (LABEL, LABEL.replace("category", "multi_label"))
MULTI_LABEL_LOSS = ("loss: categorical_crossentropy", "loss: binary_crossentropy")
NUMBER_LOSS = ("loss: categorical_crossentropy", "loss: mean_squared_error")
NUMBER_METRICS = ("metrics: [accuracy]", "metrics: [mean_absolute_error]")
NO_THRESHOLDS = ("{colour: {accuracy: {min: 0.2}}}", "{}")


@pytest.fixture
def specification(write_specification: Write) -> Callable[..., Specification]:
    """The shared specification with pieces of its text replaced: `(old, new), …`."""
    return lambda *changes: load_specification(write_specification(*changes))


def problems_of(specification: Specification) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        ordered_nodes(specification)
    return caught.value.problems


# Order


def test_each_node_comes_after_all_that_feeds_it(
    specification: Callable[..., Specification],
) -> None:
    # Written back to front, so that the order of the file cannot stand in for the right one.
    given = specification(
        (
            "  joined: {merge: concatenate, inputs: [vision, text]}\n"
            "  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: joined}\n"
            "  scores: {layers: [Dense: {units: 3}], inputs: hidden}\n",
            "  scores: {layers: [Dense: {units: 3}], inputs: hidden}\n"
            "  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: joined}\n"
            "  joined: {merge: concatenate, inputs: [vision, text]}\n",
        )
    )

    order = ordered_nodes(given)

    assert sorted(order) == ["hidden", "joined", "scores", "text", "vision"]
    for name, node in given.graph.items():
        for source in node.inputs if isinstance(node, Merge) else (node.inputs,):
            assert order.index(source) < order.index(name)


def test_a_submodel_may_be_fed_by_another(specification: Callable[..., Specification]) -> None:
    given = specification(("{tokens: words}", "{tokens: words, context: vision}"))

    order = ordered_nodes(given)

    assert order.index("vision") < order.index("text")


def test_an_output_of_a_submodel_may_be_named(specification: Callable[..., Specification]) -> None:
    given = specification(("[vision, text]", "[vision.features, vision.conv/relu, text]"))

    assert set(ordered_nodes(given)) == {"vision", "text", "joined", "hidden", "scores"}


def test_a_feature_or_submodel_may_feed_an_output_straight(
    specification: Callable[..., Specification],
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

    assert sorted(ordered_nodes(given)) == ["text", "vision"]


def test_a_feature_may_serve_slices_only(specification: Callable[..., Specification]) -> None:
    given = specification(
        ("labels:\n", "  shop: {type: category, column: shop, classes: [a, b]}\nlabels:\n"),
        ("evaluation:\n", "evaluation:\n  slices: [shop]\n"),
    )

    assert "scores" in ordered_nodes(given)


def test_each_connection_has_the_key_it_is_written_at(
    specification: Callable[..., Specification],
) -> None:
    assert list(references(specification())) == [
        ("submodels.vision.inputs.image", "vision", "image"),
        ("submodels.text.inputs.tokens", "text", "words"),
        ("graph.joined.inputs", "joined", "vision"),
        ("graph.joined.inputs", "joined", "text"),
        ("graph.hidden.inputs", "hidden", "joined"),
        ("graph.scores.inputs", "scores", "hidden"),
        ("outputs.colour.from", "outputs.colour", "scores"),
    ]


@pytest.mark.parametrize(
    ("reference", "source"), [("vision", "vision"), ("vision.conv/a.b", "vision")]
)
def test_a_reference_starts_from_what_stands_before_its_dot(reference: str, source: str) -> None:
    assert source_of(reference) == source


# What does not fit together


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
            "graph.scores.inputs: 'hidden' has one output only: write 'hidden'",
        ),
    ],
)
def test_an_unknown_name_suggests_the_nearest(
    specification: Callable[..., Specification], change: Change, expected: str
) -> None:
    assert expected in problems_of(specification(change))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("labels:\n", "  extra: {type: number, column: a}\nlabels:\n"),
            "features.extra: nothing uses it; connect it or take it out",
        ),
        (
            ("[vision, text]", "[vision, vision]"),
            "submodels.text: nothing uses it; connect it or take it out",
        ),
        (
            ("outputs:\n", "  more: {layers: [ReLU], inputs: hidden}\noutputs:\n"),
            "graph.more: nothing uses it; connect it or take it out",
        ),
        (
            ("labels:\n", "labels:\n  extra: {type: number, column: a}\n"),
            "labels.extra: no output learns it; add an output or take it out",
        ),
    ],
)
def test_what_nothing_uses_is_told(
    specification: Callable[..., Specification], change: Change, expected: str
) -> None:
    assert problems_of(specification(change)) == [expected]


@pytest.mark.parametrize(
    ("change", "circles"),
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
def test_a_circle_is_told_in_the_direction_of_the_data(
    specification: Callable[..., Specification], change: Change, circles: set[str]
) -> None:
    (problem,) = problems_of(specification(change))

    start = "graph: the connections go round in a circle: "
    assert problem.startswith(start)
    assert problem.removeprefix(start) in circles


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("labels:\n", "  vision: {type: number, column: a}\nlabels:\n"),
            "submodels.vision: features has one of this name already; rename either",
        ),
        (
            ("  joined: {merge", "  image: {merge"),
            "graph.image: features has one of this name already; rename either",
        ),
        (
            ("  joined: {merge", "  text: {merge"),
            "graph.text: submodels has one of this name already; rename either",
        ),
        (
            ("labels:\n  colour", "labels:\n  words"),
            "labels.words: features has one of this name already; rename either",
        ),
    ],
)
def test_a_name_stands_for_one_thing_only(
    specification: Callable[..., Specification], change: Change, expected: str
) -> None:
    assert expected in problems_of(specification(change))


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
def test_row_id_is_taken(
    specification: Callable[..., Specification], change: Change, key: str
) -> None:
    assert f"{key}: the name is taken: it names the rows in every message" in problems_of(
        specification(change)
    )


def test_a_label_may_share_the_name_of_a_node(
    specification: Callable[..., Specification],
) -> None:
    given = specification(("  scores: {", "  colour: {"), ("from: scores", "from: colour"))

    assert ordered_nodes(given)[-1] == "colour"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("from: scores", "from: scores, label: color"),
            "outputs.colour.label: no label is named 'color'; did you mean 'colour'?",
        ),
        (
            ("labels:\n  colour", "labels:\n  color"),
            "outputs.colour.label: no label is named 'colour'; did you mean 'color'?",
        ),
        (
            ("labels:\n  colour", "labels:\n  zzz"),
            "outputs.colour.label: no label is named 'colour'; known: zzz",
        ),
    ],
)
def test_an_output_needs_a_label(
    specification: Callable[..., Specification], change: Change, expected: str
) -> None:
    assert expected in problems_of(specification(change))


def test_an_output_may_name_a_label_other_than_itself(
    specification: Callable[..., Specification],
) -> None:
    given = specification(
        ("outputs:\n  colour: {from: scores,", "outputs:\n  tint: {from: scores, label: colour,"),
        ("thresholds: {colour:", "thresholds: {tint:"),
    )

    assert "scores" in ordered_nodes(given)
    assert given.label_of("tint") == given.labels["colour"]


# Losses, metrics, thresholds, slices


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
def test_a_category_is_learnt_with_a_crossentropy(
    specification: Callable[..., Specification], loss: str
) -> None:
    assert ordered_nodes(specification(("loss: categorical_crossentropy", f"loss: {loss}")))


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_a_number_is_learnt_with_an_error(
    specification: Callable[..., Specification], loss: str
) -> None:
    given = specification(
        NUMBER_LABEL, ("loss: categorical_crossentropy", f"loss: {loss}"), NUMBER_METRICS,
        NO_THRESHOLDS,
    )  # fmt: skip

    assert ordered_nodes(given)


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_a_category_refuses_the_loss_of_a_number(
    specification: Callable[..., Specification], loss: str
) -> None:
    assert problems_of(specification(("loss: categorical_crossentropy", f"loss: {loss}"))) == [
        f"outputs.colour.loss: a label of type category needs a crossentropy, found {loss}"
    ]


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
def test_a_number_refuses_the_loss_of_a_category(
    specification: Callable[..., Specification], loss: str
) -> None:
    given = specification(
        NUMBER_LABEL, ("loss: categorical_crossentropy", f"loss: {loss}"), NUMBER_METRICS,
        NO_THRESHOLDS,
    )  # fmt: skip

    assert problems_of(given) == [
        "outputs.colour.loss: a label of type number needs a squared or absolute error, "
        f"found {loss}"
    ]


@pytest.mark.parametrize(
    "metric", ["mean_squared_error", "mean_absolute_error", "root_mean_squared_error"]
)
def test_a_category_refuses_the_metrics_of_a_number(
    specification: Callable[..., Specification], metric: str
) -> None:
    given = specification(("metrics: [accuracy]", f"metrics: [accuracy, {metric}]"))

    assert problems_of(given) == [
        f"outputs.colour.metrics: {metric} does not fit a label of type category"
    ]


@pytest.mark.parametrize("metric", ["accuracy", "top_3_accuracy", "auc", "precision", "recall"])
def test_a_number_refuses_the_metrics_of_a_category(
    specification: Callable[..., Specification], metric: str
) -> None:
    given = specification(
        NUMBER_LABEL, NUMBER_LOSS, ("metrics: [accuracy]", f"metrics: [{metric}]"), NO_THRESHOLDS
    )

    assert problems_of(given) == [
        f"outputs.colour.metrics: {metric} does not fit a label of type number"
    ]


@pytest.mark.parametrize("metric", ["auc", "precision", "recall"])
def test_the_metrics_of_yes_and_no_need_a_binary_crossentropy(
    specification: Callable[..., Specification], metric: str
) -> None:
    asked = ("metrics: [accuracy]", f"metrics: [accuracy, {metric}]")

    assert problems_of(specification(asked)) == [
        f"outputs.colour.metrics: {metric} needs two classes and binary_crossentropy"
    ]
    assert ordered_nodes(
        specification(asked, ("loss: categorical_crossentropy", "loss: binary_crossentropy"))
    )


def test_several_classes_are_learnt_with_a_binary_crossentropy(
    specification: Callable[..., Specification],
) -> None:
    metrics = ("metrics: [accuracy]", "metrics: [accuracy, auc, precision, recall]")

    assert ordered_nodes(specification(MULTI_LABEL, MULTI_LABEL_LOSS, metrics))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [],
            "outputs.colour.loss: a label of type multi_label needs binary_crossentropy, found "
            "categorical_crossentropy",
        ),
        (
            [("loss: categorical_crossentropy", "loss: huber")],
            "outputs.colour.loss: a label of type multi_label needs binary_crossentropy, found "
            "huber",
        ),
        (
            [MULTI_LABEL_LOSS, ("[accuracy]", "[accuracy, top_3_accuracy]")],
            "outputs.colour.metrics: top_3_accuracy does not fit a label of type multi_label",
        ),
        (
            [MULTI_LABEL_LOSS, ("[accuracy]", "[accuracy, mean_absolute_error]")],
            "outputs.colour.metrics: mean_absolute_error does not fit a label of type multi_label",
        ),
        *(
            (
                [MULTI_LABEL_LOSS, ("[accuracy]", f"[accuracy], class_weights: {weights}")],
                "outputs.colour.class_weights: with a label of type multi_label a row has no one "
                "class to weigh it by; take them out",
            )
            for weights in ("balanced", "{red: 2}")
        ),
    ],
)
def test_several_classes_refuse_what_is_of_one_class(
    specification: Callable[..., Specification], changes: list[Change], expected: str
) -> None:
    assert problems_of(specification(MULTI_LABEL, *changes)) == [expected]


def test_every_problem_is_told_at_once(specification: Callable[..., Specification]) -> None:
    given = specification(
        ("[vision, text]", "[visoin, text]"),
        ("from: scores", "from: scroes"),
        ("loss: categorical_crossentropy", "loss: huber"),
        ("evaluation:\n", "evaluation:\n  slices: [wrods]\n"),
    )

    told = problems_of(given)

    for start in (
        "graph.joined.inputs: nothing is named 'visoin'",
        "submodels.vision: nothing uses it",
        "outputs.colour.from: nothing is named 'scroes'",
        "graph.scores: nothing uses it",
        "outputs.colour.loss: ",
        "evaluation.slices: no feature or label is named 'wrods'",
    ):
        assert len([problem for problem in told if problem.startswith(start)]) == 1
