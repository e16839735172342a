"""What tests of plans share: interfaces written by hand, and specifications of small graphs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tfx_fusion.modules.embedding.plan import EmbeddingPlan, StagePlan, plan_stages
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Interface, LayerInfo, OutputInfo, TensorInfo

STAGES = "[{name: head, epochs: 1, learning_rate: 0.1}]"
FEATURES = """
  image: {type: image, column: image, shape: [8, 8, 3]}
  photo: {type: image, column: photo, shape: [8, 8, 3]}
  sound: {type: sequence, column: sound, shape: [5, 2], variable: true}
  age: {type: number, column: age}
  title: {type: text, column: title, encoding: string}
"""


def image_network() -> Interface:
    """From pixels to a map of features, a vector, and a number."""
    return Interface(
        format="keras",
        inputs={"pixels": TensorInfo(shape=(8, 8, 3), dtype="float32")},
        outputs={"score": OutputInfo(shape=(1,), dtype="float32", layer="score")},
        cuts={
            "conv": OutputInfo(shape=(4, 4, 6), dtype="float32", layer="conv"),
            "features": OutputInfo(shape=(6,), dtype="float32", layer="features"),
        },
        layers={
            "conv": LayerInfo(weights={"conv": 10}),
            "features": LayerInfo(inputs=("conv",), weights={"features": 10}),
            "score": LayerInfo(inputs=("features",), weights={"score": 7}),
        },
        parameters=27,
    )


def vector_network(width: int) -> Interface:
    """From a vector to another."""
    return Interface(
        format="keras",
        inputs={"vector": TensorInfo(shape=(width,), dtype="float32")},
        outputs={"out": OutputInfo(shape=(3,), dtype="float32", layer="out")},
        layers={"out": LayerInfo(weights={"out": 9})},
        parameters=9,
    )


def sequence_network() -> Interface:
    """From steps to as many steps."""
    return Interface(
        format="keras",
        inputs={"steps": TensorInfo(shape=(None, 2), dtype="float32")},
        outputs={"read": OutputInfo(shape=(None, 4), dtype="float32", layer="read")},
        layers={"read": LayerInfo(weights={"read": 9})},
        parameters=9,
    )


def specified(submodels: str, graph: str, stages: str = STAGES, **training: Any) -> Specification:
    """A specification of one number to learn, with the features that something uses."""
    outputs = training.pop("outputs", "{y: {from: head, loss: mean_squared_error}}")
    tree = YAML(typ="safe", pure=True).load(
        f"""
name: shapes
data: {{path: rows.csv, split: {{by: id, train: 0.5, eval: 0.5}}}}
features: {{}}
labels: {{y: {{type: number, column: y}}}}
submodels: {submodels}
graph: {graph}
outputs: {outputs}
training: {{stages: {stages}}}
publish: {{path: serving}}
"""
    )
    features = YAML(typ="safe", pure=True).load(FEATURES)
    used = f"{submodels} {graph} {outputs}"
    tree["features"] = {
        name: it for name, it in features.items() if re.search(rf"\b{name}\b", used)
    }
    tree["training"].update(training)
    return Specification.model_validate(tree, context={"folder": Path("/world")})


def planned(specification: Specification, **interfaces: Interface) -> list[StagePlan]:
    """What each stage learns from; `vision` and `other` are image networks unless given."""
    known = {"vision": image_network(), "other": image_network(), **interfaces}
    fused = build(specification, known, open_interface)
    return plan_stages(specification, fused)


@pytest.fixture
def specify() -> Callable[..., Specification]:
    """From sub-models, a graph and stages, in YAML, to a specification."""
    return specified


@pytest.fixture
def plans() -> Callable[..., list[StagePlan]]:
    """From a specification, and interfaces by name, to what each stage learns from."""
    return planned


@pytest.fixture
def plan() -> Callable[..., EmbeddingPlan]:
    """The plan of the only stage."""

    def of(specification: Specification, **interfaces: Interface) -> EmbeddingPlan:
        [stage] = planned(specification, **interfaces)
        assert stage.plan is not None, str(stage)
        return stage.plan

    return of


@pytest.fixture
def why() -> Callable[..., str]:
    """Why the only stage learns from raw data."""

    def of(specification: Specification, **interfaces: Interface) -> str:
        [stage] = planned(specification, **interfaces)
        assert stage.plan is None
        return str(stage)

    return of


@pytest.fixture
def vector() -> Callable[[int], Interface]:
    """A network from a vector of some width to another."""
    return vector_network


@pytest.fixture
def sequence() -> Interface:
    """A network from steps to as many steps."""
    return sequence_network()


@pytest.fixture
def image() -> Interface:
    """A network from pixels to a map of features (`conv`), a vector and a number."""
    return image_network()
