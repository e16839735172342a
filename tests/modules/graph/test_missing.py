"""What stands for a missing feature, and where in the graph it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from specs import Change, check_names, rewritten

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.graph.describe import describe
from tfx_fusion.modules.graph.missing import Absence, Replacement
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Interface, OutputInfo, TensorInfo

IMAGE = "image: {type: image, column: image_path, shape: [8, 8, 3]"
WORDS = "words: {type: text, column: transcript, vocabulary: models/words.txt, encoding: multi_hot"


def interface(entry: str, shape: tuple[int, ...]) -> Interface:
    return Interface(
        format="saved_model",
        inputs={entry: TensorInfo(shape=shape, dtype="float32")},
        outputs={"features": OutputInfo(shape=(4,), dtype="float32")},
        parameters=1,
    )


INTERFACES = {"vision": interface("image", (8, 8, 3)), "text": interface("tokens", (6,))}


def specify(world: Path, *changes: Change) -> Specification:
    return rewritten(world / "fusion.yaml", *changes)


def fuse(specification: Specification) -> FusedModel:
    return build(specification, INTERFACES, open_interface)


def test_a_branch_is_replaced_where_it_joins_another(world: Path) -> None:
    specification = specify(world, (IMAGE, f"{IMAGE}, missing: allowed"))
    fused = fuse(specification)
    assert list(fused.replacements) == ["vision"]
    assert fused.replacements["vision"].vector.shape == (4,)
    assert list(fused.model.input) == ["image", "words", "image.missing"]
    reported = {row.name: row for row in describe(specification, INTERFACES, fused)}
    assert reported["vision.features.replaced"].kind == "learned where missing"
    assert reported["vision.features.replaced"].trainable == 4


def test_new_layers_of_the_branch_alone_come_before_it_is_replaced(world: Path) -> None:
    specification = specify(
        world,
        (IMAGE, f"{IMAGE}, missing: allowed"),
        ("  joined: {merge: concatenate, inputs: [vision, text]}",
         "  small: {layers: [Dense: {units: 2}], inputs: vision}\n"
         "  joined: {merge: concatenate, inputs: [small, text]}"),
    )  # fmt: skip
    fused = fuse(specification)
    assert list(fused.replacements) == ["small"]
    assert fused.replacements["small"].vector.shape == (2,)


def test_nothing_is_replaced_where_nothing_may_be_missing(world: Path) -> None:
    fused = fuse(specify(world))
    assert fused.replacements == {}
    assert list(fused.model.input) == ["image", "words"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [(IMAGE, f"{IMAGE}, missing: allowed"),
             ("joined: {merge: concatenate, inputs: [vision, text]}",
              "joined: {layers: [Dense: {units: 4}], inputs: vision}"),
             ("publish:", "  slices: [words]\npublish:"),
             ("  text: {path: models/text, inputs: {tokens: words}, output: features}\n", "")],
            "features.image.missing: 'scores' is computed from nothing but this feature, so no row "
            "that lacks it can be predicted: join another feature to it, or take the key away",
        ),
    ],
)  # fmt: skip
def test_the_only_feature_of_an_output_may_not_be_missing(
    changes: list[tuple[str, str]], message: str, world: Path
) -> None:
    specification = specify(world, *changes)
    with pytest.raises(SpecificationError) as caught:
        check_names(specification)
    assert message in caught.value.problems


def test_whole_numbers_cannot_be_learned(world: Path) -> None:
    ids = WORDS.replace("multi_hot", "ids, length: 5, missing: allowed")
    (world / "models" / "words.txt").write_text("\nred\ngreen\n")
    specification = specify(
        world,
        (WORDS, ids),
        ("  text: {path: models/text, inputs: {tokens: words}, output: features}\n", ""),
        ("inputs: [vision, text]", "inputs: [vision, words]"),
    )
    with pytest.raises(SpecificationError) as caught:
        fuse(specification)
    assert caught.value.problems == [
        "features.words.missing: at graph.joined.inputs, 'words' (5) int64: whole numbers cannot "
        "be learned: write replace: zeros"
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{WORDS}, missing: {{unreadable: missing}}}}", "goes with images and sequences only"),
        ("words: {type: raw, column: n, dtype: int64, missing: allowed}", "take dtype float32 or"),
        (f"{WORDS}, missing: {{drop: 1.0}}}}", "less than 1"),
        (f"{WORDS}, missing: sometimes}}", "expected a mapping"),
        (f"{WORDS}, missing: {{replace: mode}}}}", "expected 'learned', 'zeros' or 'mean'"),
    ],
)
def test_what_cannot_be_missing_is_refused(line: str, message: str, world: Path) -> None:
    with pytest.raises(SpecificationError, match="words") as caught:
        specify(world, (f"{WORDS}}}", line))
    assert message in str(caught.value)


# -------------------------------------------------------------------------------- the layers


def test_rows_that_lack_a_feature_go_without_it_and_others_do_not_outside_training() -> None:
    layer = Absence(0.9, "image.absent")
    missing = np.array([1, 0, 1, 0])
    assert np.array(layer(missing)).tolist() == [True, False, True, False]


def test_training_drops_the_share_that_was_asked_for_anew_in_every_step() -> None:
    keras.utils.set_random_seed(1)
    layer = Absence(0.3, "image.absent")
    missing = np.zeros(20_000, "int64")
    missing[:10] = 1
    first, second = (np.array(layer(missing, training=True)) for _ in range(2))
    assert first[:10].all()
    assert first[10:].mean() == pytest.approx(0.3, abs=0.02)
    assert (first != second).mean() == pytest.approx(2 * 0.3 * 0.7, abs=0.02)


@pytest.mark.parametrize("replace", ["zeros", "learned", "mean"])
def test_a_vector_stands_for_the_value_of_absent_rows(replace: str) -> None:
    layer = Replacement(replace, "image.replaced")
    value: Any = np.arange(6, dtype="float32").reshape(3, 2)
    absent = np.array([False, True, False])
    layer(value, absent)
    vector = np.zeros(2)
    if replace != "zeros":
        vector = np.array([7.0, 8.0])
        layer.vector.assign(vector)
    assert np.array(layer(value, absent)).tolist() == [[0, 1], vector.tolist(), [4, 5]]
    assert len(layer.trainable_weights) == (replace == "learned")


def test_a_sequence_is_replaced_in_every_step_and_others_keep_their_mask() -> None:
    steps = keras.layers.Masking()(np.array([[[1.0], [0.0]], [[0.0], [0.0]]], "float32"))
    replaced = Replacement("zeros", "steps.replaced")(steps, np.array([False, True]))
    assert np.array(replaced).tolist() == [[[1], [0]], [[0], [0]]]
    assert np.array(replaced._keras_mask).tolist() == [[True, False], [True, True]]
