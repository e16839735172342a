"""Features and labels: what each type accepts, and how it refuses the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from specs import assert_refused

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    ImageFeature,
    MultiLabel,
    NumberFeature,
    NumberLabel,
    RawFeature,
    SequenceFeature,
    TextFeature,
    columns_of,
    load_specification,
    stored,
)

Write = Callable[..., Path]

CLASSES = "classes: [red, green, blue]"
WORDS = "vocabulary: models/words.txt, encoding: multi_hot"


def test_classes_written_as_numbers_are_text(write_specification: Write) -> None:
    labels = load_specification(write_specification((CLASSES, "classes: [0, 1, 2.5]"))).labels

    assert labels["colour"] == CategoryLabel(
        type="category", column="colour", classes=("0", "1", "2.5")
    )


def test_a_label_of_several_classes_may_say_its_separator(write_specification: Write) -> None:
    kinds = ("type: category", "type: multi_label"), (CLASSES, 'classes: [0, b], separator: "|"')

    labels = load_specification(write_specification(*kinds)).labels

    assert labels["colour"] == MultiLabel(
        type="multi_label", column="colour", classes=("0", "b"), separator="|"
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            'classes: [a, "b;c"]',
            "the class 'b;c' holds the separator ';': write another separator, "
            "or name the class differently",
        ),
        (
            "classes: [a, b c], separator: ' '",
            "the class 'b c' holds the separator ' ': write another separator, "
            "or name the class differently",
        ),
        ('classes: [a, " b"]', "the class ' b' has spaces around it: write 'b'"),
        ("classes: [a, b, a]", "each class once, found 'a' more than once"),
        ("classes: [a, b], separator: ''", "string should have at least 1 character, found ''"),
        ("classes: [a, b], seperator: x", "unknown key: did you mean 'separator'?"),
    ],
)
def test_classes_that_a_cell_cannot_name_are_refused(
    write_specification: Write, written: str, message: str
) -> None:
    path = write_specification(("type: category", "type: multi_label"), (CLASSES, written))

    with pytest.raises(SpecificationError) as caught:
        load_specification(path)

    [problem] = caught.value.problems
    assert "labels.colour" in problem
    assert problem.endswith(message)


@pytest.mark.parametrize(
    ("written", "shape", "dtype"),
    [
        (WORDS.replace("multi_hot", "ids, length: 4"), (4,), "int64"),
        ("encoding: string", (), "string"),
    ],
)
def test_text_may_be_ids_or_left_as_it_is(
    write_specification: Write, written: str, shape: tuple[int, ...], dtype: str
) -> None:
    words = load_specification(write_specification((WORDS, written))).features["words"]

    assert (words.tensor_shape, words.tensor_dtype) == (shape, dtype)


def test_multi_hot_text_is_as_wide_as_its_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("[UNK]\nred\ngreen\n")

    words = TextFeature(
        type="text", column="t", encoding="multi_hot", vocabulary=tmp_path / "words.txt"
    )

    assert (words.tensor_shape, words.tensor_dtype) == ((3,), "float32")


@pytest.mark.parametrize(
    ("feature", "columns", "in_rows", "in_graph"),
    [
        (
            ImageFeature(type="image", column="a", shape=(8, 6, 1)),
            ("a",),
            ((), "string"),
            ((8, 6, 1), "float32"),
        ),
        (
            TextFeature(type="text", column="a", encoding="string"),
            ("a",),
            ((), "string"),
            ((), "string"),
        ),
        (
            NumberFeature(type="number", column="a"),
            ("a",),
            ((1,), "float32"),
            ((1,), "float32"),
        ),
        (
            NumberFeature(type="number", columns=("a", "b")),
            ("a", "b"),
            ((2,), "float32"),
            ((2,), "float32"),
        ),
        (
            CategoryFeature(type="category", column="a", classes=("x", "y")),
            ("a",),
            ((), "string"),
            ((2,), "float32"),
        ),
        (
            CategoryFeature(type="category", column="a", classes=("x", "y"), encoding="index"),
            ("a",),
            ((), "string"),
            ((), "int64"),
        ),
        (
            SequenceFeature(type="sequence", column="a", shape=(5, 2), variable=True),
            ("a",),
            ((5, 2), "float32"),
            ((5, 2), "float32"),
        ),
        (
            RawFeature(type="raw", column="a", dtype="int64"),
            ("a",),
            ((), "int64"),
            ((), "int64"),
        ),
        (
            RawFeature(type="raw", column="a", dtype="string", shape=(2, 3)),
            ("a",),
            ((2, 3), "string"),
            ((2, 3), "string"),
        ),
    ],
    ids=lambda value: value.type if hasattr(value, "type") else "",
)
def test_a_feature_knows_its_columns_and_shapes(
    feature: ImageFeature, columns: tuple, in_rows: tuple, in_graph: tuple
) -> None:
    assert columns_of(feature) == columns
    assert tuple(stored(feature)) == in_rows
    assert (feature.tensor_shape, feature.tensor_dtype) == in_graph


@pytest.mark.parametrize(
    ("label", "in_rows"),
    [
        (CategoryLabel(type="category", column="a", classes=("x", "y")), ((), "string")),
        (MultiLabel(type="multi_label", column="a", classes=("x", "y")), ((2,), "int64")),
        (NumberLabel(type="number", column="a"), ((), "float32")),
    ],
)
def test_a_label_knows_its_column_and_its_shape_in_a_row(
    label: NumberLabel, in_rows: tuple
) -> None:
    assert columns_of(label) == ("a",)
    assert tuple(stored(label)) == in_rows


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("vocabulary: w.txt, encoding: string", "encoding 'string' takes no vocabulary"),
        ("encoding: multi_hot", "encoding 'multi_hot' needs a vocabulary"),
        ("encoding: ids, length: 4", "encoding 'ids' needs a vocabulary"),
        ("vocabulary: w.txt, encoding: ids", "encoding 'ids' needs a length"),
        (
            "vocabulary: w.txt, encoding: multi_hot, length: 4",
            "encoding 'multi_hot' takes no length",
        ),
        ("encoding: string, length: 4", "encoding 'string' takes no length"),
    ],
)
def test_a_text_feature_takes_the_keys_of_its_encoding_only(
    write_specification: Write, written: str, expected: str
) -> None:
    assert_refused(write_specification((WORDS, written)), written, f"features.words: {expected}")


@pytest.mark.parametrize("written", ["", ", columns: []", ", column: a, columns: [b]"])
def test_a_number_feature_takes_either_a_column_or_columns(
    write_specification: Write, written: str
) -> None:
    feature = f"  size: {{type: number{written}}}\n"

    assert_refused(
        write_specification(("features:\n", f"features:\n{feature}")),
        feature,
        "features.size: give either 'column' (one number) or 'columns' (a list of names)",
    )


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("{type: sequence, column: a, shape: [3, 2], variable: 1}", "variable: … boolean … 1"),
        ("{type: sequence, column: a, shape: [3]}", "shape: expected … items … found [3]"),
        ("{type: sequence, column: a, shape: [3, 2], padding: none}", "padding: … number … 'none'"),
        ("{type: raw, column: a, dtype: int32}", "dtype: … 'int32'; did you mean 'int64'?"),
        ("{type: raw, column: a, dtype: int64, shape: [-1]}", "shape.0: … greater than 0 … -1"),
        ("{type: number, column: a, normalize: zscore}", "normalize: expected 'none', 'standard'"),
        ("{type: category, column: a, classes: [x]}", "classes: … at least 2 items"),
    ],
)
def test_every_kind_of_feature_checks_its_own_keys(
    write_specification: Write, feature: str, expected: str
) -> None:
    path = write_specification(("features:\n", f"features:\n  other: {feature}\n"))

    assert_refused(path, "  other:", f"features.other.{expected}")


TOKENIZER = {"type": "wordpiece", "file": "vocab.txt"}


@pytest.mark.parametrize(
    ("keys", "reported"),
    [
        ({"column": "a", "tokenizer": TOKENIZER}, "a tokenizer needs a length"),
        ({"column": "a", "tokenizer": TOKENIZER, "length": 8, "encoding": "ids"},
         "a tokenizer takes neither 'encoding' nor 'vocabulary'"),
        ({"columns": ["a", "b"], "encoding": "string"}, "'columns' needs a tokenizer"),
        ({"tokenizer": TOKENIZER, "length": 8}, "give either 'column' (one text) or 'columns'"),
        ({"column": "a", "length": 8, "tokenizer": {"type": "bpe", "file": "vocab.txt"}},
         "type 'bpe' from 'vocab.txt' needs 'merges' beside it"),
        ({"column": "a", "length": 8, "tokenizer": {**TOKENIZER, "merges": "merges.txt"}},
         "type 'wordpiece' from 'vocab.txt' takes no 'merges'"),
        ({"column": "a", "length": 8,
          "tokenizer": {"type": "wordpiece", "file": "tokenizer.json", "start": "<s>"}},
         "'tokenizer.json' says itself what 'start', 'end' and 'unknown' are"),
        ({"column": "a", "length": 8, "tokenizer": {"type": "sentencepiece", "file": "a.json"}},
         "type 'sentencepiece' is read from a spiece.model"),
    ],
)  # fmt: skip
def test_keys_of_a_text_that_do_not_go_together_are_refused(
    keys: dict[str, Any], reported: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(reported)):
        TextFeature.model_validate({"type": "text", **keys})


def test_two_texts_are_stored_side_by_side() -> None:
    pair = TextFeature.model_validate(
        {"type": "text", "columns": ["a", "b"], "tokenizer": TOKENIZER, "length": 8}
    )

    assert columns_of(pair) == ("a", "b")
    assert stored(pair) == ((2,), "string")
    assert pair.tensors("words") == {
        "words.ids": ((8,), "int64"), "words.mask": ((8,), "int64"),
        "words.segments": ((8,), "int64"),
    }  # fmt: skip


def test_text_without_any_other_key_is_text_as_it_is() -> None:
    assert TextFeature(type="text", column="a").tensors("said") == {"said": ((), "string")}
