"""Trained values kept in a published version: names that stay, and files that can be read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import FusedModel, build
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.training.frozen_proof import Digests, digests
from tfx_fusion.modules.training.trained_values import (
    TRAINED_FILE,
    Trained,
    read_trained,
    trained_variables,
    values_of,
    write_trained,
)

HEAD = """\
  joined: {merge: concatenate, inputs: [vision, text]}
  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: joined}
"""
LEARNED = """\
  wide: {layers: [Dropout: {rate: 0.5}, Dense: {units: 6}], inputs: text}
  met: {merge: attention, inputs: [vision, wide]}
  steps: {layers: [Reshape: {target_shape: [6, 1]}], inputs: met}
  hidden: {layers: [GRU: {units: 2}], inputs: steps}
"""
MORE = (
    LEARNED.replace("met}", "first}")
    + """\
  first: {layers: [Dense: {units: 6}], inputs: met}
"""
)


@pytest.fixture
def fuse(world: Path) -> Callable[..., FusedModel]:
    """The small specification's fused model, with another text for its graph."""
    original = (world / "fusion.yaml").read_text()

    def make(*changes: tuple[str, str]) -> FusedModel:
        text = original
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (world / "fusion.yaml").write_text(text)
        specification = load_specification(world / "fusion.yaml")
        paths = {name: path for name, (_, path) in specification.imported().items()}
        interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}

        def opened(name: str, _: Any, taps: list[str]) -> SubmodelLayer:
            return SubmodelLayer(paths[name], taps, None, name)

        return build(specification, interfaces, opened)

    return make


def frozen(fused: FusedModel) -> Digests:
    return digests({name: layer.frozen_variables() for name, layer in fused.submodels.items()})


# --------------------------------------------------------------------------------- the names


def test_only_the_head_is_trained_where_all_sub_models_are_frozen(
    fuse: Callable[..., FusedModel],
) -> None:
    fused = fuse()

    named = trained_variables(fused, frozen(fused))

    assert list(named) == [
        "graph/hidden/0/kernel", "graph/hidden/0/bias",
        "graph/scores/0/kernel", "graph/scores/0/bias",
    ]  # fmt: skip
    assert named["graph/scores/0/bias"] is fused.layers["scores"][0].bias


def test_what_may_change_of_a_sub_model_is_named_by_its_layer(
    fuse: Callable[..., FusedModel],
) -> None:
    fused = fuse()
    fused.submodels["vision"].unfreeze(["norm"])
    fused.submodels["text"].unfreeze(["features/kernel"])

    named = trained_variables(fused, frozen(fused))

    # Outside training mode a BatchNorm's moving statistics stay frozen.
    assert [name for name in named if name.startswith("submodels")] == [
        "submodels/vision/norm/gamma", "submodels/vision/norm/beta",
        "submodels/text/features/kernel",
    ]  # fmt: skip


def test_moving_statistics_that_a_stage_moves_are_trained_too(
    fuse: Callable[..., FusedModel],
) -> None:
    fused = fuse()
    fused.submodels["vision"].unfreeze(["norm"], training_mode=True)

    named = trained_variables(fused, frozen(fused))

    assert "submodels/vision/norm/moving_mean" in named
    assert "submodels/vision/norm/moving_variance" in named


def test_names_do_not_depend_on_what_keras_made_before_or_stands_elsewhere(
    fuse: Callable[..., FusedModel],
) -> None:
    keras.backend.clear_session()
    first = fuse((HEAD, LEARNED))
    for _ in range(3):  # Keras counts its own names on: `gru_cell_3`, `query_3`
        keras.layers.GRU(2).build((None, 6, 1))
    second = fuse((HEAD, MORE))

    names, others = (list(trained_variables(fused, frozen(fused))) for fused in (first, second))

    assert set(names) < set(others)
    assert {name for name in names if name.startswith(("graph/met", "graph/wide"))} == {
        "graph/wide/1/kernel", "graph/wide/1/bias",
        *(f"graph/met/0/{kind}{number}" for kind in ("kernel", "bias")
          for number in ("", "_2", "_3", "_4")),
    }  # fmt: skip
    assert {name for name in names if name.startswith("graph/hidden")} == {
        "graph/hidden/0/kernel", "graph/hidden/0/recurrent_kernel", "graph/hidden/0/bias",
    }  # fmt: skip
    assert len({id(v) for v in trained_variables(first, frozen(first)).values()}) == len(names)


# ---------------------------------------------------------------------------------- the file


def test_values_and_digests_are_read_as_they_were_written(tmp_path: Path) -> None:
    values = {
        "graph/hidden/0/kernel": np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3),
        "submodels/text/table": np.arange(4),
    }

    write_trained(Trained(values, {"text": "abc"}), tmp_path)
    read = read_trained(tmp_path)

    assert read is not None
    assert read.digests == {"text": "abc"}
    assert set(read.values) == set(values)
    for name, value in values.items():
        np.testing.assert_array_equal(read.values[name], value)
        assert read.values[name].dtype == value.dtype


def test_a_bfloat16_variable_comes_back_bit_for_bit(tmp_path: Path) -> None:
    variable = keras.Variable([1 / 3, -0.0, 1e30], dtype="bfloat16")
    before = np.asarray(variable).tobytes()

    write_trained(Trained(values_of({"graph/a/0/kernel": variable}), {}), tmp_path)
    read = read_trained(tmp_path)
    variable.assign(keras.ops.zeros(3, dtype="bfloat16"))
    assert read is not None
    variable.assign(read.values["graph/a/0/kernel"])

    assert np.asarray(variable).tobytes() == before


def test_a_version_of_an_older_layout_holds_none(tmp_path: Path) -> None:
    assert read_trained(tmp_path) is None


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_bit(content: bytes) -> bytes:
    place = content.index(b"\x93NUMPY") + 140  # behind the header of the first array
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [cut_short, one_bit, lambda _: b"", lambda _: b"no archive at all"],
    ids=["cut short", "one bit", "empty", "no archive"],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_its_path_and_what_to_do(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    write_trained(Trained({"graph/a/0/kernel": np.ones((40, 40))}, {"text": "abc"}), tmp_path)
    file = tmp_path / TRAINED_FILE
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(RunError) as caught:
        read_trained(tmp_path)

    message = str(caught.value)
    assert message.startswith(f"{file}: expected the trained values of the last published model")
    assert "delete the version folder to start from the version before, or remove " in message


def test_objects_that_run_code_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / TRAINED_FILE).parent.mkdir()
    np.savez(tmp_path / TRAINED_FILE, digests=np.array("{}"), bad=np.array([print], dtype=object))

    with pytest.raises(RunError, match="allow_pickle=False"):
        read_trained(tmp_path)
