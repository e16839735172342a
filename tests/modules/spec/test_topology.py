"""The fusion graph as names: its order, and what each part is connected to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import colours

from tfx_fusion.modules.spec import Merge, Specification
from tfx_fusion.modules.spec.topology import downstream, in_order, references, source_of

Specify = Callable[..., Specification]


@pytest.fixture
def specification(tmp_path: Path) -> Specify:
    """The small specification with pieces of its text replaced: `(old, new), …`."""
    return lambda *changes: colours(tmp_path, *changes)


def test_each_node_comes_after_all_that_feeds_it(
    specification: Specify,
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

    order = in_order(given)

    assert sorted(order) == ["hidden", "joined", "scores", "text", "vision"]
    for name, node in given.graph.items():
        for source in node.inputs if isinstance(node, Merge) else (node.inputs,):
            assert order.index(source) < order.index(name)


def test_a_submodel_may_be_fed_by_another(specification: Specify) -> None:
    given = specification(("{tokens: words}", "{tokens: words, context: vision}"))

    order = in_order(given)

    assert order.index("vision") < order.index("text")


def test_each_connection_has_the_key_it_is_written_at(
    specification: Specify,
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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["hidden"], {"hidden", "scores"}),
        (["text"], {"text", "joined", "hidden", "scores"}),
        (["image"], {"image", "vision", "joined", "hidden", "scores"}),
        (["nothing"], {"nothing"}),
    ],
)
def test_what_is_computed_from_a_name_is_downstream_of_it(
    specification: Specify, names: list[str], expected: set[str]
) -> None:
    assert downstream(specification(), names) == expected


def test_a_submodel_that_shares_weights_is_downstream_of_their_owner(
    specification: Specify,
) -> None:
    given = specification(("path: models/text, inputs", "same_as: vision, inputs"))

    assert "text" in downstream(given, ["vision"])


def test_downstream_of_a_cycle_is_the_whole_cycle(specification: Specify) -> None:
    given = specification(("[vision, text]", "[vision, text, scores]"))

    assert downstream(given, ["joined"]) == {"joined", "hidden", "scores"}
