"""Limits of data that are not measured, and vocabularies that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs import colours

from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.validation.data import data_problems

SPLIT = "  split: {by: id, train: 0.7, eval: 0.3}\n"
ENCODING = "encoding: multi_hot"


def problems_of(specification: Specification) -> list[str]:
    return [str(problem) for problem in data_problems(specification)]


def test_drift_is_measured_only_of_classes_and_numbers(tmp_path: Path) -> None:
    drift = "{color: 0.1, words: 0.1, image: 0.1, colour: 0.1}"
    given = colours(tmp_path, (SPLIT, f"{SPLIT}  checks: {{drift: {drift}}}\n"))

    assert problems_of(given) == [
        "data.checks.drift.color: no feature or label has this name; did you mean 'colour'?",
        "data.checks.drift.words: drift is measured of classes and numbers, not of type text; "
        "remove it",
        "data.checks.drift.image: drift is measured of classes and numbers, not of type image; "
        "remove it",
    ]


def test_a_vocabulary_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    given = colours(tmp_path, ("models/words.txt", "models/wrds.txt"))

    assert problems_of(given) == [
        f"features.words.vocabulary: vocabulary {tmp_path / 'models' / 'wrds.txt'}: no such file"
    ]


@pytest.mark.parametrize(("first", "accepted"), [("", True), ("[PAD]", True), ("red", False)])
def test_ids_need_a_vocabulary_whose_first_line_is_the_padding(
    tmp_path: Path, first: str, accepted: bool
) -> None:
    given = colours(tmp_path, (ENCODING, "encoding: ids, length: 4"))
    (tmp_path / "models" / "words.txt").write_text(f"{first}\ngreen\n")

    expected = (
        "features.words.vocabulary: encoding 'ids' pads with id 0, so the first line must be empty "
        "or [PAD], found 'red'"
    )
    assert problems_of(given) == ([] if accepted else [expected])
