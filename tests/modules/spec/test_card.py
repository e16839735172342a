"""What a specification may say to people: a card, and the licences of its sub-models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Card, Specification, load_specification
from tfx_fusion.modules.submodels.inspection_cache import with_path

PUBLISH = "publish: {path: serving}\n"
CARD = f"{PUBLISH}card: {{intended_use: to sort marbles, limits: no glass}}\n"
LICENSED = ("output: features}", "output: features, licence: Apache-2.0}")


@pytest.fixture
def plain(world: Path) -> Specification:
    return load_specification(world / "fusion.yaml")


@pytest.fixture
def described(world: Path, write_specification: Callable[..., Path]) -> Specification:
    """The same with a card and a licence."""
    return load_specification(write_specification((PUBLISH, CARD), LICENSED, folder=world))


def test_a_card_and_a_licence_are_optional(plain: Specification, described: Specification) -> None:
    assert plain.card == Card(intended_use=None, limits=None)
    assert described.card == Card(intended_use="to sort marbles", limits="no glass")
    assert [submodel.licence for submodel in plain.submodels.values()] == [None, None]
    assert [submodel.licence for submodel in described.submodels.values()] == ["Apache-2.0", None]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (PUBLISH, f"{PUBLISH}card: {{intended: x}}\n", "did you mean 'intended_use'?"),
        (PUBLISH, f"{PUBLISH}card: {{limits: '  '}}\n", "card.limits"),
        ("output: features}", "output: features, license: MIT}", "did you mean 'licence'?"),
        ("models/vision.keras", "models/vision.keras, licence: ''", "submodels.vision.licence"),
    ],
)
def test_words_that_say_nothing_are_refused(
    write_specification: Callable[..., Path], old: str, new: str, message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        load_specification(write_specification((old, new)))
    assert message in str(caught.value)


def test_the_file_made_of_an_application_keeps_its_licence(tmp_path: Path) -> None:
    from tfx_fusion.modules.spec import Submodel

    given = Submodel(application="MobileNet", inputs={"image": "image"}, licence="Apache-2.0")
    assert with_path(given, tmp_path).licence == "Apache-2.0"


@pytest.mark.component
def test_new_words_compute_nothing_anew(plain: Specification, described: Specification) -> None:
    from tfx_fusion.modules.embedding.plan import plan_stages
    from tfx_fusion.modules.graph.build import build, open_interface
    from tfx_fusion.modules.spec.evaluated import EvaluationView
    from tfx_fusion.modules.spec.views import training_view
    from tfx_fusion.modules.submodels.inspection import inspect_submodel

    assert plain != described
    assert training_view(plain) == training_view(described)
    assert EvaluationView.of(plain) == EvaluationView.of(described)
    interfaces = {n: inspect_submodel(p).interface for n, (_, p) in plain.imported().items()}
    plans = [plan_stages(s, build(s, interfaces, open_interface)) for s in (plain, described)]
    assert plans[0] == plans[1]
    assert plans[0][0].plan is not None
