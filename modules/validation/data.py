"""Whether vocabularies fit their features, and the checks of the data what is measured."""

from collections.abc import Iterator

from tfx_fusion.modules.errors import Problem, UserError, suggestion
from tfx_fusion.modules.spec import Fusion, TextFeature, drifting
from tfx_fusion.modules.spec.tokenizer import read_tokenizer
from tfx_fusion.modules.spec.tokenizer_json import check_runs, least_length
from tfx_fusion.modules.spec.vocabulary import PADDING, read_vocabulary

# Special tokens of BERT, RoBERTa and their kin. `[UNK]` and `[PAD]` plain vocabularies have, too.
MARKS = frozenset({"[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<mask>", "<pad>", "<unk>"})


def data_problems(specification: Fusion) -> Iterator[Problem]:
    """Every invalid vocabulary, and every name in `data.checks` of which no drift is measured."""
    for name, feature in specification.features.items():
        if isinstance(feature, TextFeature):
            yield from _vocabulary_problems(f"features.{name}.vocabulary", feature)
            yield from _tokenizer_problems(f"features.{name}", feature)
    measured = drifting(specification.features, specification.labels)
    for name in specification.data.checks.drift if specification.data else ():
        key = f"data.checks.drift.{name}"
        part = specification.features.get(name) or specification.labels.get(name)
        if part is None:
            hint = suggestion(name, {*specification.features, *specification.labels})
            yield Problem(key, f"no feature or label has this name; {hint}", undefined=name)
        elif name not in measured:
            yield Problem(
                key, f"drift is measured of classes and numbers, not of type {part.type}; remove it"
            )


def _vocabulary_problems(key: str, feature: TextFeature) -> Iterator[Problem]:
    if feature.vocabulary is None:
        return
    try:
        words = read_vocabulary(feature.vocabulary)
    except UserError as error:
        yield Problem(key, str(error))
        return
    piece = next((word for word in words if _is_piece(word)), None)
    if piece is not None:
        kind = "sentencepiece" if piece.startswith("▁") else "bpe" if "Ġ" in piece else "wordpiece"
        yield Problem(
            key,
            f"it holds '{piece}', so it is the vocabulary of a tokenizer, whose word pieces and "
            f"special tokens encoding '{feature.encoding}' never makes: in place of 'vocabulary' "
            f"and 'encoding' write tokenizer: {{type: {kind}, file: …}}, and a length",
        )
    elif feature.encoding == "ids" and words[0] not in PADDING:
        yield Problem(
            key,
            "encoding 'ids' pads with id 0, so the first line must be empty or [PAD], found "
            f"'{words[0]}'",
        )


def _is_piece(word: str) -> bool:
    """Whether a word stands in vocabularies of tokenizers only: a part of one, or a mark."""
    return word in MARKS or (len(word) > 2 and word.startswith("##")) or word[:1] in ("▁", "Ġ")


def _tokenizer_problems(key: str, feature: TextFeature) -> Iterator[Problem]:
    if feature.tokenizer is None:
        return
    try:
        contents = read_tokenizer(feature.tokenizer)
        check_runs(contents.content)
        least = least_length(contents.content, len(feature.names))
    except UserError as error:
        yield Problem(f"{key}.tokenizer.file", str(error))
        return
    if feature.length is not None and feature.length < least:
        yield Problem(
            f"{key}.length",
            f"{feature.length} leaves no room beside the special tokens: write {least} or more",
        )
