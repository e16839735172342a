"""What a stage unfreezes, by the interface only."""

from __future__ import annotations

from typing import Any

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.spec import Unfreeze
from tfx_fusion.modules.submodels.interface import Interface, LayerInfo, OutputInfo, TensorInfo

# image → conv → norm → pool → features → scores; `aside` hangs on conv and leads elsewhere.
INTERFACE = Interface(
    format="keras",
    inputs={"image": TensorInfo(shape=(8, 8, 3), dtype="float32")},
    outputs={"scores": OutputInfo(shape=(3,), dtype="float32", layer="scores")},
    cuts={"features": OutputInfo(shape=(6,), dtype="float32", layer="features")},
    layers={
        "image": LayerInfo(),
        "conv": LayerInfo(inputs=("image",), weights={"conv": 112}),
        "aside": LayerInfo(inputs=("conv",), weights={"aside": 9}),
        "norm": LayerInfo(inputs=("conv",), weights={"norm": 16}),
        "pool": LayerInfo(inputs=("norm",)),
        "features": LayerInfo(inputs=("pool",), weights={"features": 30}),
        "scores": LayerInfo(inputs=("features",), weights={"scores": 21}),
    },
    parameters=188,
)


def chosen(tap: str = "scores", **unfreeze: Any) -> list[str]:
    return chosen_layers("here", INTERFACE, [tap], Unfreeze(**unfreeze))


def test_all_is_every_layer_with_weights_that_computes_the_output() -> None:
    assert chosen(all=True) == ["conv", "norm", "features", "scores"]


def test_a_cut_leaves_out_what_lies_behind_it() -> None:
    assert chosen("features", all=True) == ["conv", "norm", "features"]


def test_the_last_layers_are_counted_among_those_with_weights() -> None:
    assert chosen(last=2) == ["features", "scores"]
    assert chosen("features", last=2) == ["norm", "features"]


def test_patterns_match_names_as_a_shell_does() -> None:
    assert chosen(layers=("s*", "con?")) == ["conv", "scores"]


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(SpecificationError) as caught:
        chosen(last=5)
    assert caught.value.problems == ["here.last: expected at most 4 (layers with weights), found 5"]


def test_a_pattern_that_unfreezes_nothing_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecificationError) as caught:
        chosen(layers=("feature",))
    [problem] = caught.value.problems
    assert problem.startswith("here.layers: 'feature' matches no layers with weights; ")
    assert problem.endswith("did you mean 'features'?")


def test_every_pattern_that_matches_nothing_is_reported() -> None:
    with pytest.raises(SpecificationError) as caught:
        chosen(layers=("x*", "conv", "y*"))
    assert [problem.split(";")[0] for problem in caught.value.problems] == [
        "here.layers: 'x*' matches no layers with weights",
        "here.layers: 'y*' matches no layers with weights",
    ]


def test_a_pattern_for_what_the_cut_leaves_out_is_refused() -> None:
    with pytest.raises(SpecificationError, match="'scores' matches no layers with weights"):
        chosen("features", layers=("scores",))
