"""Limits of data that are not measured, and vocabularies that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from specs import colours
from tiny_tokenizers import write_vocab_txt

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


@pytest.mark.parametrize("encoding", ["encoding: ids, length: 4", ENCODING])
@pytest.mark.parametrize(
    ("piece", "kind"),
    [("##ing", "wordpiece"), ("[CLS]", "wordpiece"), ("[MASK]", "wordpiece"), ("<s>", "wordpiece"),
     ("\u2581red", "sentencepiece"), ("\u0120red", "bpe")],
)  # fmt: skip
def test_a_vocabulary_of_word_pieces_is_refused_with_the_right_key(
    tmp_path: Path, encoding: str, piece: str, kind: str
) -> None:
    given = colours(tmp_path, (ENCODING, encoding))
    (tmp_path / "models" / "words.txt").write_text(f"[PAD]\n[UNK]\nred\n{piece}\n##\n")

    [problem] = problems_of(given)

    assert problem.startswith(f"features.words.vocabulary: it holds '{piece}', so it is the ")
    assert problem.endswith(
        f"in place of 'vocabulary' and 'encoding' write tokenizer: {{type: {kind}, file: …}}, and "
        "a length"
    )


def test_words_with_marks_of_plain_vocabularies_are_taken(tmp_path: Path) -> None:
    given = colours(tmp_path, (ENCODING, "encoding: ids, length: 4"))
    (tmp_path / "models" / "words.txt").write_text("[PAD]\n[UNK]\nred\n#\n##\n")

    assert problems_of(given) == []


VOCABULARY = "vocabulary: models/words.txt, encoding: multi_hot"


@pytest.mark.parametrize(
    ("tokenizer", "reported"),
    [
        ("{type: wordpiece, file: models/no.txt}, length: 8",
         "tokenizer.file: tokenizer {models}/no.txt: No such file or directory: "),
        ("{type: wordpiece, file: models/words.txt}, length: 8",
         "tokenizer.file: {models}/words.txt: the special token start: '[CLS]' is not in it; name "
         "the one that the model was trained with by the key 'start'"),
        ("{type: wordpiece, file: models/words.txt, start: red, end: blue, pad: very}, length: 2",
         "length: 2 leaves no room beside the special tokens: write 3 or more"),
        ("{type: wordpiece, file: models/words.txt, start: red, end: blue, pad: very}, length: 3",
         ""),
        ("{type: bpe, file: models/tokenizer.json}, length: 8",
         "tokenizer.file: {models}/tokenizer.json: expected a tokenizer of type 'bpe', found "
         "'wordpiece'"),
        ("{type: wordpiece, file: models/tokenizer.json}, length: 8",
         "tokenizer.file: its pre_tokenizer 'Whitespace' cannot run in a graph; "),
        ("{type: wordpiece, file: models/spoilt.json}, length: 8",
         "tokenizer.file: {models}/spoilt.json: expected JSON: "),
        ("{type: sentencepiece, file: models/words.txt}, length: 8",
         "tokenizer.file: {models}/words.txt: expected a SentencePiece model, found a damaged one"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_cannot_be_used_is_reported(
    tmp_path: Path, tokenizer: str, reported: str
) -> None:
    given = colours(tmp_path, (VOCABULARY, f"tokenizer: {tokenizer}"))
    models = tmp_path / "models"
    model = {"type": "WordPiece", "vocab": {"[PAD]": 0}, "unk_token": "[PAD]"}
    whole = {"model": model, "pre_tokenizer": {"type": "Whitespace"}}
    (models / "tokenizer.json").write_text(json.dumps(whole))
    (models / "spoilt.json").write_text("{")

    found = problems_of(given)

    if not reported:
        assert found == []
        return
    assert len(found) == 1
    assert found[0].startswith(f"features.words.{reported.format(models=models)}")


def test_capital_letters_that_no_lower_case_text_matches_are_reported(tmp_path: Path) -> None:
    tokenizer = "{type: wordpiece, file: models/vocab.txt, lowercase: true}"
    given = colours(tmp_path, (VOCABULARY, f"tokenizer: {tokenizer}, length: 8"))
    write_vocab_txt(tmp_path / "models", "Red", "[unused1]")

    file = tmp_path / "models" / "vocab.txt"
    assert problems_of(given) == [
        f"features.words.tokenizer.file: {file}: lowercase: true, but 1 pieces have capital "
        "letters ('Red'), which no text would ever match: write lowercase: false"
    ]
