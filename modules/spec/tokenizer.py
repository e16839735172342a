"""How text becomes word pieces: the files of a tokenizer, read without TensorFlow.

Whatever files describe it, a tokenizer is read as the contents of a `tokenizer.json`, the format of
Hugging Face's `tokenizers`. `modules.tokens` runs what that says inside a graph.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from tfx_fusion.modules.errors import RunError, UserError, first_line
from tfx_fusion.modules.spec.base import Flag, LocalPath, Part
from tfx_fusion.modules.spec.vocabulary import parse_vocabulary

Token = Annotated[str, Field(min_length=1)]
# The special tokens of each type where the files name none: of BERT, RoBERTa and ALBERT.
SPECIAL = {
    "wordpiece": {"start": "[CLS]", "end": "[SEP]", "pad": "[PAD]", "unknown": "[UNK]"},
    "bpe": {"start": "<s>", "end": "</s>", "pad": "<pad>", "unknown": "<unk>"},
    "sentencepiece": {"start": "[CLS]", "end": "[SEP]", "pad": "<pad>", "unknown": "<unk>"},
}
MODELS = {"WordPiece": "wordpiece", "BPE": "bpe", "Unigram": "sentencepiece"}
# The type of a model in our own extension of the format: a SentencePiece model as it is.
SENTENCEPIECE = "SentencePiece"


class Tokenizer(Part):
    """A tokenizer by its files.

    `wordpiece` reads a `vocab.txt` (one piece a line) or a `tokenizer.json`; `bpe` a `vocab.json`
    with its `merges` (byte-level, as GPT-2's and RoBERTa's), or a `tokenizer.json`; `sentencepiece`
    a `spiece.model`, of either kind (unigram or BPE).

    `start` and `end` stand around each text, `pad` behind it, and `unknown` for what no piece
    covers: unless given, as the `tokenizer.json` says, else `[CLS]`, `[SEP]`, `[PAD]` and `[UNK]`
    for `wordpiece`, `<s>`, `</s>`, `<pad>` and `<unk>` for `bpe`, `[CLS]`, `[SEP]`, `<pad>` and
    `<unk>` for `sentencepiece`. `lowercase` goes with a `vocab.txt`: whether text is lower-cased
    and loses its accents, which is so unless given if no piece has a capital letter.
    """

    type: Literal["wordpiece", "bpe", "sentencepiece"]
    file: LocalPath
    merges: LocalPath | None = None
    lowercase: Flag | None = None
    start: Token | None = None
    end: Token | None = None
    pad: Token | None = None
    unknown: Token | None = None

    @model_validator(mode="after")
    def _files_fit_type(self) -> Tokenizer:
        whole = self.is_whole
        if self.type == "sentencepiece" and whole:
            raise ValueError(
                f"type 'sentencepiece' is read from a spiece.model (or sentencepiece.bpe.model), "
                f"found '{self.file.name}': name the one that came with the model"
            )
        if (self.merges is None) != (self.type != "bpe" or whole):
            verb = "needs 'merges' beside it" if self.merges is None else "takes no 'merges'"
            raise ValueError(f"type '{self.type}' from '{self.file.name}' {verb}")
        if self.lowercase is not None and (self.type != "wordpiece" or whole):
            raise ValueError("'lowercase' goes with a vocab.txt of type 'wordpiece' only")
        if whole and any((self.start, self.end, self.unknown)):
            raise ValueError(
                f"'{self.file.name}' says itself what 'start', 'end' and 'unknown' are: remove them"
            )
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the file is a `tokenizer.json`, which says everything."""
        return self.file.suffix == ".json" and (self.type != "bpe" or self.merges is None)

    @property
    def files(self) -> list[Path]:
        return [self.file] if self.merges is None else [self.file, self.merges]


class Contents(NamedTuple):
    """What a tokenizer's files say: a `tokenizer.json`, and the token that pads."""

    content: dict[str, Any]
    pad: str

    def to_json(self) -> str:
        return json.dumps({"tokenizer": self.content, "pad": self.pad}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Contents:
        stored = json.loads(text)
        return cls(stored["tokenizer"], stored["pad"])

    @property
    def vocabulary(self) -> dict[str, int]:
        """The id of each token, special ones included."""
        return vocabulary_of(self.content)


def vocabulary_of(content: dict[str, Any]) -> dict[str, int]:
    """The id of each token of a `tokenizer.json`, special ones included."""
    pieces = content["model"]["vocab"]
    added = {item["content"]: item["id"] for item in content.get("added_tokens") or ()}
    return {**pieces, **added}


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """The SHA-256 of a tokenizer's files. Raises UserError where one is missing."""
    digest = hashlib.sha256()
    for path in tokenizer.files:
        digest.update(_bytes(path))
    return digest.hexdigest()


def read_tokenizer(tokenizer: Tokenizer, digest: str = "") -> Contents:
    """What a tokenizer's files say.

    Args:
        tokenizer: of a specification.
        digest: that of the files that are wanted; empty takes any.

    Raises UserError where a file is missing, damaged or of another kind, or lacks a special token;
    RunError where the files are others than the digest says.
    """
    if digest and tokenizer_digest(tokenizer) != digest:
        raise RunError(
            f"tokenizer {tokenizer.file}: the file changed since the run began, or since its "
            "pipeline was compiled: run again, or compile again"
        )
    states = [path.stat() for path in tokenizer.files if path.is_file()]
    return _read(tokenizer, *((s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in states))


@lru_cache(maxsize=16)
def _read(tokenizer: Tokenizer, *_states: tuple[int, ...]) -> Contents:
    if tokenizer.is_whole:
        content = _json(tokenizer.file)
        found = MODELS.get((content.get("model") or {}).get("type", ""))
        if found != tokenizer.type:
            raise UserError(
                f"{tokenizer.file}: expected a tokenizer of type '{tokenizer.type}', found "
                f"'{found or (content.get('model') or {}).get('type', 'none')}'"
            )
        return Contents(content, _pad(tokenizer, content))
    names = {**SPECIAL[tokenizer.type], **_given(tokenizer)}
    if tokenizer.type == "wordpiece":
        content = _from_vocabulary(tokenizer, names)
    elif tokenizer.type == "bpe":
        content = _from_merges(tokenizer, names)
    else:
        content = _from_sentencepiece(tokenizer, names)
    vocabulary = vocabulary_of(content)
    for key, token in names.items():
        if token not in vocabulary:
            raise UserError(
                f"{tokenizer.file}: the special token {key}: '{token}' is not in it; name the one "
                f"that the model was trained with by the key '{key}'{_hint(tokenizer, vocabulary)}"
            )
    content["post_processor"] = {
        "type": "RobertaProcessing" if tokenizer.type == "bpe" else "BertProcessing",
        "cls": [names["start"], vocabulary[names["start"]]],
        "sep": [names["end"], vocabulary[names["end"]]],
        **({"trim_offsets": True, "add_prefix_space": False} if tokenizer.type == "bpe" else {}),
    }
    content["added_tokens"] = [
        _added(token, vocabulary[token]) for token in dict.fromkeys([*names.values(), "[MASK]"])
        if token in vocabulary
    ]  # fmt: skip
    return Contents(content, names["pad"])


def _hint(tokenizer: Tokenizer, vocabulary: dict[str, int]) -> str:
    if tokenizer.type != "sentencepiece" or vocabulary.get("<s>") != 1 or "<pad>" in vocabulary:
        return ""
    return " (XLM-RoBERTa's ids are not those of its file: name such a model by 'preset')"


def _given(tokenizer: Tokenizer) -> dict[str, str]:
    found = {key: getattr(tokenizer, key) for key in ("start", "end", "pad", "unknown")}
    return {key: token for key, token in found.items() if token is not None}


def _added(token: str, number: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, **flags, "special": True}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"tokenizer {path}: {error.strerror}: name the file that came with the model"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: expected JSON: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _pad(tokenizer: Tokenizer, content: dict[str, Any]) -> str:
    vocabulary = vocabulary_of(content)
    named = (content.get("padding") or {}).get("pad_token")
    wanted = [tokenizer.pad] if tokenizer.pad else [named, "[PAD]", "<pad>"]
    for token in wanted:
        if token in vocabulary:
            return token
    raise UserError(
        f"{tokenizer.file}: none of {', '.join(map(repr, filter(None, wanted)))} is in it: name "
        "the token that pads by the key 'pad'"
    )


def _from_vocabulary(tokenizer: Tokenizer, names: dict[str, str]) -> dict[str, Any]:
    pieces = parse_vocabulary(tokenizer.file, _bytes(tokenizer.file))
    # Of the Latin letters: some letters of other scripts have no small form. Special tokens and
    # those that BERT has left unused are in brackets.
    words = (piece for piece in pieces if piece not in names.values() and piece[0:1] != "[")
    capitals = [word for word in words if any("A" <= letter <= "Z" for letter in word)]
    if tokenizer.lowercase and capitals:
        raise UserError(
            f"{tokenizer.file}: lowercase: true, but {len(capitals):,} pieces have capital letters "
            f"('{capitals[0]}'), which no text would ever match: write lowercase: false"
        )
    lowercase = not capitals if tokenizer.lowercase is None else tokenizer.lowercase
    return {
        "version": "1.0",
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": names["unknown"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: place for place, piece in enumerate(pieces)},
        },
    }


def _from_merges(tokenizer: Tokenizer, names: dict[str, str]) -> dict[str, Any]:
    vocabulary = _json(tokenizer.file)
    if not all(isinstance(number, int) for number in vocabulary.values()):
        raise UserError(f"{tokenizer.file}: expected the id of each piece, as a vocab.json has it")
    assert tokenizer.merges is not None  # noqa: S101
    lines = _bytes(tokenizer.merges).decode("utf-8", errors="replace").splitlines()
    merges = [line for line in lines if line and not line.startswith("#version")]
    for number, line in enumerate(merges, start=1):
        first, _, second = line.partition(" ")
        for piece in (first, second, first + second):
            if piece not in vocabulary:
                raise UserError(
                    f"{tokenizer.merges}: merge {number} ('{line}') needs the piece '{piece}', "
                    f"which is not in {tokenizer.file}: the two files must be of one model"
                )
    return {
        "version": "1.0",
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }


def _from_sentencepiece(tokenizer: Tokenizer, names: dict[str, str]) -> dict[str, Any]:
    proto = _bytes(tokenizer.file)
    return {
        "model": {
            "type": SENTENCEPIECE,
            "proto": base64.b64encode(proto).decode(),
            "vocab": sentencepiece_vocabulary(tokenizer.file, proto),
        }
    }


def sentencepiece_vocabulary(place: Path | str, proto: bytes) -> dict[str, int]:
    """The pieces of a SentencePiece model by id. Raises UserError where it is damaged."""
    try:
        import sentencepiece
    except ImportError as error:
        raise UserError(
            f"{place}: SentencePiece cannot be imported ({error}): install the extra 'hub': "
            "pip install 'tfx-fusion[hub]'"
        ) from error
    try:
        loaded = sentencepiece.SentencePieceProcessor(model_proto=proto)
    except Exception as error:
        raise UserError(
            f"{place}: expected a SentencePiece model, found a damaged one: {first_line(error)}"
        ) from error
    return {loaded.id_to_piece(number): number for number in range(len(loaded))}
