"""One pretrained model used twice: with shared weights, or as two copies."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from specs import check_names

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.build import FusedModel, build
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer

FEATURE = "  image: {type: image, column: image_path, shape: [8, 8, 3]}\n"
VISION = "  vision: {path: models/vision.keras, inputs: {image: image}, output: features}\n"


def twice(world: Path, second: str) -> Specification:
    """The small world with a second picture that a second use of the image network reads."""
    file = world / "fusion.yaml"
    text = file.read_text()
    text = text.replace(FEATURE, FEATURE + FEATURE.replace("image:", "other:", 1))
    text = text.replace(VISION, VISION + second)
    file.write_text(text.replace("[vision, text]", "[vision, again, text]"))
    return load_specification(file)


def fuse(specification: Specification) -> FusedModel:
    paths = {name: path for name, (_, path) in specification.imported().items()}
    interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}
    return build(
        specification,
        interfaces,
        lambda name, _, taps: SubmodelLayer(paths[name], taps, None, name),
    )


def by_hand(world: Path, image: np.ndarray) -> np.ndarray:
    whole = keras.saving.load_model(world / "models" / "vision.keras")
    return np.array(keras.Model(whole.input, whole.get_layer("features").output)(image))


@pytest.mark.parametrize(
    ("second", "copies"),
    [
        ("  again: {same_as: vision, inputs: {image: other}, output: features}\n", 1),
        ("  again: {path: models/vision.keras, inputs: {image: other}, output: features}\n", 2),
    ],
    ids=["shared weights", "two copies"],
)
def test_both_uses_answer_as_the_model_does_alone(second: str, copies: int, world: Path) -> None:
    fused = fuse(twice(world, second))
    random = np.random.default_rng(3)
    inputs = {name: random.random((4, 8, 8, 3)).astype("float32") for name in ("image", "other")}
    inputs["words"] = np.zeros((4, 6), "float32")

    joined = keras.Model(fused.model.input, fused.tensors["joined"])(inputs)

    expected = [by_hand(world, inputs[name]) for name in ("image", "other")]
    np.testing.assert_allclose(joined[:, :12], np.concatenate(expected, axis=1), atol=1e-6)
    layers = [name for name in fused.submodels if name != "text"]
    assert len(layers) == copies


def test_a_model_can_only_be_the_same_as_one_that_is_imported(world: Path) -> None:
    with pytest.raises(SpecificationError) as caught:
        check_names(twice(world, "  again: {same_as: visio, inputs: {image: other}}\n"))
    assert caught.value.problems[0] == (
        "submodels.again.same_as: no 'visio' is imported; did you mean 'vision'?"
    )


def test_a_sub_model_has_a_path_or_another_to_be_the_same_as(world: Path) -> None:
    both = "{path: models/vision.keras, same_as: vision, inputs: {image: other}}"
    for wrong in (both, "{inputs: {image: other}}"):
        with pytest.raises(SpecificationError, match="give one of 'path', 'same_as'"):
            twice(world, f"  again: {wrong}\n")
        (world / "fusion.yaml").write_text(
            (world / "fusion.yaml").read_text().replace(f"  again: {wrong}\n", "")
            .replace(FEATURE.replace("image:", "other:", 1), "")
            .replace("[vision, again, text]", "[vision, text]")
        )  # fmt: skip
