"""The tokenizer and packer of a preset, put before its model: raw text in.

KerasHub's own preprocessing layers are read, not run: of their operations inside a graph some
differ from what they do outside of one. What is made is compared with them on a few texts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.errors import SpecificationError, UserError, first_line
from tfx_fusion.modules.keras_compat import run_graph
from tfx_fusion.modules.spec.submodel import TEXTS
from tfx_fusion.modules.spec.tokenizer import SENTENCEPIECE, Contents, sentencepiece_vocabulary
from tfx_fusion.modules.spec.tokenizer_json import HUB_WORDS, check_runs, least_length
from tfx_fusion.modules.submodels.text_input import TextInput

# What a text model's input takes of a tokenizer.
ENTRIES = {"token_ids": "ids", "padding_mask": "mask", "segment_ids": "segments"}
# Plain texts of several scripts. On others KerasHub does not agree with itself: outside of a graph
# it splits for every BPE by the pattern of Llama 3, inside of one by GPT-2's.
SAMPLES = (
    "", "the quick brown Fox jumps over it, is it?", "Ça coûte 12 euros déjà: naïve!",
    "Привет, мир. 你好世界 こんにちは", "two words", "one " * 600,
)  # fmt: skip


def with_text(
    model: keras.Model,
    preprocessor: Any,
    inputs: Mapping[str, Any],
    folder: Path | None,
    length: int | None,
) -> keras.Model:
    """A text model that takes text, by its own tokenizer and packer.

    Args:
        model: a functional one, whose inputs have names.
        preprocessor: KerasHub's for it.
        inputs: those that the specification connects: `text`, or `text` and `text_pair`.
        folder: of a preset in the layout of Hugging Face.
        length: the tokens of a row; as many as the model takes unless given.

    Raises SpecificationError where the tokenizer cannot run in a graph, or the model has inputs
    that a text does not give.
    """
    texts = [name for name in TEXTS if name in inputs]
    other = [name for name in inputs if name not in TEXTS]
    if other or texts[0] != TEXTS[0]:
        raise SpecificationError(
            f"inputs: expected 'text', or 'text' and 'text_pair', found {', '.join(inputs)}: "
            "either text or tokens go into a model"
        )
    unknown = set(model.input) - set(ENTRIES)
    if unknown:
        raise SpecificationError(
            f"inputs.text: the model takes {', '.join(sorted(unknown))} beside tokens, which no "
            "text gives: connect its own inputs, with a text feature that has a tokenizer"
        )
    most = getattr(getattr(model, "backbone", model), "max_sequence_length", None)
    given = min(preprocessor.sequence_length, most or preprocessor.sequence_length)
    if length is not None and most is not None and length > most:
        raise SpecificationError(
            f"config.sequence_length: the model takes {most} tokens at most, found {length}"
        )
    preprocessor.sequence_length = given if length is None else length
    try:
        contents = _contents(preprocessor, folder)
        check_runs(contents.content)
        if preprocessor.sequence_length < least_length(contents.content, len(texts)):
            raise UserError(f"{preprocessor.sequence_length} tokens leave no room for a text")
        entries = {
            name: (ENTRIES[name], keras.backend.standardize_dtype(tensor.dtype))
            for name, tensor in model.input.items()
        }
        layer = TextInput(
            contents.to_json(), preprocessor.sequence_length, entries, len(texts), "tokenizer"
        )
        # KerasHub keeps accents that Hugging Face takes away from the same folder.
        samples = [text for text in SAMPLES if folder is None or text.isascii()]
        _check_against(preprocessor, layer, len(texts), samples)
    except UserError as error:
        raise SpecificationError(f"inputs.text: the preset's tokenizer: {error}") from error
    given_texts = {name: keras.Input((), dtype="string", name=name) for name in texts}
    tokens = layer(list(given_texts.values()))
    # Its layers are called once more, so that they go by the same names with text as without.
    graph = keras.Function(model.input, model.output)
    outputs = run_graph(graph, tokens, lambda operation: operation)
    return keras.Model(given_texts, outputs, name=model.name)


def _contents(preprocessor: Any, folder: Path | None) -> Contents:
    """What a preset's tokenizer does, as the contents of a `tokenizer.json`."""
    tokenizer = preprocessor.tokenizer
    if not preprocessor.built:
        preprocessor.build(None)
    packer = preprocessor.packer
    special = {
        name: {"ids": list(getattr(packer, f"{name}_value", ()) or ())}
        for name in ("start", "sep", "end")
    }
    content: dict[str, Any] = {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": _template("start", "A", "end"),
            "pair": _template("start", "A", "sep", "B", "end"),
            "special_tokens": special,
        },
    }
    if folder is not None and (folder / "tokenizer.json").is_file():
        whole = json.loads((folder / "tokenizer.json").read_bytes())
        if whole["model"]["type"] in ("WordPiece", "BPE"):
            return Contents(whole, tokenizer.pad_token)
    import keras_hub

    if isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        content |= _wordpiece(tokenizer, hugging_face=folder is not None)
    elif isinstance(tokenizer, keras_hub.tokenizers.SentencePieceTokenizer):
        content |= _sentencepiece(tokenizer)
    elif isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        content |= _bytepairs(tokenizer)
    else:
        raise UserError(f"a {type(tokenizer).__name__} cannot run in a graph")
    if preprocessor.truncate != "round_robin":
        raise UserError(f"its truncation '{preprocessor.truncate}' cannot run in a graph")
    content["truncation"] = {"strategy": "RoundRobin"}
    return Contents(content, tokenizer.pad_token)


def _template(*parts: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place, part in enumerate(parts):
        segment = int("B" in parts[: place + 1])
        kind = "Sequence" if part in ("A", "B") else "SpecialToken"
        found.append({kind: {"id": part, "type_id": segment}})
    return found


def _wordpiece(tokenizer: Any, hugging_face: bool) -> dict[str, Any]:
    vocabulary = {piece: place for place, piece in enumerate(tokenizer.get_vocabulary())}
    model: dict[str, Any] = {
        "type": "WordPiece",
        "unk_token": tokenizer.oov_token,
        "continuing_subword_prefix": tokenizer.suffix_indicator,
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }
    if hugging_face:
        rules = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
        normalizer = {"type": "BertNormalizer", **rules, "lowercase": tokenizer.lowercase}
        return {
            "normalizer": normalizer, "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": model,
        }  # fmt: skip
    if not tokenizer.split or tokenizer.special_tokens_in_strings:
        raise UserError("split=False and special_tokens_in_strings=True cannot run in a graph")
    options = ("lowercase", "strip_accents", "split_on_cjk")
    normalizer = {"type": HUB_WORDS, **{name: getattr(tokenizer, name) for name in options}}
    return {
        "normalizer": normalizer,
        "pre_tokenizer": {"type": HUB_WORDS},
        "model": model,
    }


def _bytepairs(tokenizer: Any) -> dict[str, Any]:
    vocabulary = dict(tokenizer.vocabulary)
    merges = [merge for merge in tokenizer.merges if not merge.startswith("#version")]
    prefix = bool(tokenizer.add_prefix_space)
    return {
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
        "added_tokens": [
            {"content": token, "id": vocabulary[token]}
            for token in tokenizer.unsplittable_tokens or ()
        ],
    }


def _sentencepiece(tokenizer: Any) -> dict[str, Any]:
    proto = tokenizer.proto
    model: dict[str, Any] = {
        "type": SENTENCEPIECE,
        "proto": base64.b64encode(proto).decode(),
        "vocab": sentencepiece_vocabulary("the preset", proto),
    }
    shifted = "_vocabulary_prefix" in vars(type(tokenizer))  # XLM-RoBERTa's ids, as fairseq's
    if shifted:
        model |= {"shift": 1, "unknown": tokenizer.unk_token_id}
        model["vocab"] = {piece: id_ for id_, piece in enumerate(tokenizer.get_vocabulary())}
    return {"model": model}


def _check_against(preprocessor: Any, layer: TextInput, texts: int, samples: list[str]) -> None:
    """Raises UserError where the layer gives other tokens than KerasHub's preprocessing."""
    given = [samples] if texts == 1 else [samples, samples[::-1]]
    found = layer([keras.ops.convert_to_tensor(item) for item in given])
    # With a second argument: else a tuple of two would be a text and a label.
    expected = preprocessor(given[0] if texts == 1 else tuple(given), None)
    for name, values in found.items():
        differing = (np.asarray(values) != np.asarray(expected[name])).any(axis=1)
        if differing.any():
            row = int(np.argmax(differing))
            raise UserError(
                f"inside a graph it would give other {name} than KerasHub for {samples[row]!r}: "
                f"{_start(values[row])} instead of {_start(expected[name][row])}"
            )


def _start(values: Any) -> str:
    return str(np.asarray(values, int)[:12].tolist())


def load_preprocessor(hub: Any, preset: str, task: str | None) -> Any:
    """KerasHub's preprocessing of text for a preset. Raises SpecificationError without one."""
    models = hub.models
    kind = models.TextEmbedderPreprocessor if task else models.TextClassifierPreprocessor
    try:
        return kind.from_preset(preset)
    except Exception as error:
        raise SpecificationError(
            f"inputs.text: KerasHub reads no tokenizer from the preset {preset} "
            f"({first_line(error)}): save it with its preprocessor, or connect the model's own "
            "inputs, with a text feature that has a tokenizer"
        ) from error
