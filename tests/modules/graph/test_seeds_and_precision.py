"""New layers begin alike whatever stands before them; sub-models open in their own precision."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from specs import colours

from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.graph.layers import own_seed
from tfx_fusion.modules.graph.missing import Replacement
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.submodels.interface import Interface, OutputInfo, TensorInfo


def interface(entry: str, *shape: int) -> Interface:
    return Interface(
        format="keras",
        inputs={entry: TensorInfo(shape=shape, dtype="float32")},
        outputs={"features": OutputInfo(shape=(6,), dtype="float32")},
        parameters=1,
    )


INTERFACES = {"vision": interface("image", 8, 8, 3), "text": interface("tokens", 6)}


def head_of(folder: Path, opening: Any) -> list[np.ndarray]:
    fused = build(colours(folder), INTERFACES, opening)
    return [w for layers in fused.layers.values() for x in layers for w in x.get_weights()]


def test_a_head_begins_alike_on_real_sub_models_and_on_interfaces(tmp_path: Path) -> None:
    def opening_draws(*arguments: Any) -> Any:
        # As Keras does for each layer of a file that it loads.
        random.random()
        keras.layers.Dense(3)
        return open_interface(*arguments)

    bare, real = head_of(tmp_path, open_interface), head_of(tmp_path, opening_draws)
    assert len(bare) == 4
    for one, other in zip(bare, real, strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_of_two_names_begin_differently() -> None:
    drawn = []
    for name in ("a", "b", "a"):
        with own_seed(3, name):
            drawn.append(keras.initializers.GlorotUniform()((4, 4)))
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])


def test_the_precision_of_new_layers_does_not_reach_into_a_sub_model(tmp_path: Path) -> None:
    policies = []

    def opening(*arguments: Any) -> Any:
        policies.append(keras.config.dtype_policy().name)
        return open_interface(*arguments)

    with precision("mixed_float16"):
        fused = build(colours(tmp_path), INTERFACES, opening)
    assert policies == ["float32", "float32"]
    assert fused.layers["hidden"][0].compute_dtype == "float16"


@pytest.mark.parametrize("replace", ["zeros", "learned", "mean"])
def test_what_stands_for_a_missing_value_lets_others_through_exactly(replace: str) -> None:
    values = np.array([[70000.1], [1.0001], [3.0]], "float32")  # too large, too fine for float16
    with precision("mixed_float16"):
        given = Replacement(replace, "r")(values, np.array([False, False, True]))
    np.testing.assert_array_equal(given, [*values[:2], [0.0]])
