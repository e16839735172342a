"""What of a `tokenizer.json` can run inside a graph, and how it packs texts into a row."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfx_fusion.modules.errors import UserError

# Normalisers of WordPiece that treat each character by itself: a table can say what they do.
NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "NFD", "NFKD", "Sequence", "StripAccents"})


# KerasHub's own way to words, which differs from BERT's for some characters.
HUB_WORDS = "KerasHub"


class Item(NamedTuple):
    """One part of a packed row: special tokens, or the text of a `place` (0 or 1)."""

    segment: int
    ids: tuple[int, ...] = ()
    place: int | None = None


def least_length(content: dict[str, Any], texts: int) -> int:
    """The tokens of a packed row of one text or two that have one token together."""
    return sum(len(item.ids) for item in template(content, texts)) + 1


def template(content: dict[str, Any], texts: int) -> list[Item]:
    """The parts of a packed row of one text or two.

    Raises UserError for a post-processor that cannot run in a graph.
    """
    kind, processor = _processor(content)
    if kind in ("BertProcessing", "RobertaProcessing"):
        start, end = (processor["cls"][1],), (processor["sep"][1],)
        first = [Item(0, ids=start), Item(0, place=0), Item(0, ids=end)]
        if texts == 1:
            return first
        if kind == "RobertaProcessing":
            return [*first, Item(0, ids=end), Item(0, place=1), Item(0, ids=end)]
        return [*first, Item(1, place=1), Item(1, ids=end)]
    if kind == "TemplateProcessing":
        found = []
        for item in processor["single" if texts == 1 else "pair"]:
            [(what, value)] = item.items()
            if what == "SpecialToken":
                ids = tuple(processor["special_tokens"][value["id"]]["ids"])
                found.append(Item(value["type_id"], ids=ids))
            else:
                found.append(Item(value["type_id"], place="AB".index(value["id"])))
        return found
    return [Item(0, place=0), Item(1, place=1)][:texts]


def _processor(content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The post-processor that adds special tokens, with its type; empty where there is none."""
    processor = content.get("post_processor") or {}
    inner = processor.get("processors", [processor] if processor else [])
    adding = [item for item in inner if item["type"] != "ByteLevel"]  # which moves offsets only
    known = ("BertProcessing", "RobertaProcessing", "TemplateProcessing")
    if len(adding) > 1 or any(item["type"] not in known for item in adding):
        found = ", ".join(item["type"] for item in adding)
        raise UserError(
            f"its post_processor ({found}) cannot run in a graph; one of {', '.join(known)} can"
        )
    return (adding[0]["type"], adding[0]) if adding else ("", {})


class AddedToken(NamedTuple):
    """A token that a text may hold as it is written, with the white space around it or without."""

    content: str
    id: int
    lstrip: bool
    rstrip: bool


def added_tokens(content: dict[str, Any]) -> list[AddedToken]:
    """The tokens that a text may hold as they are written, the longest first.

    Raises UserError where one is found by a rule that cannot run in a graph.
    """
    found = []
    for item in content.get("added_tokens") or ():
        for rule in ("single_word", "normalized"):
            # Where nothing is normalized, a text is as it was.
            if item.get(rule) and (rule == "single_word" or content.get("normalizer")):
                raise UserError(
                    f"its added token '{item['content']}' is found by the rule '{rule}', which "
                    "cannot run in a graph: remove the token or the rule from the file"
                )
        strips = bool(item.get("lstrip")), bool(item.get("rstrip"))
        found.append(AddedToken(item["content"], item["id"], *strips))
    return sorted(found, key=lambda token: -len(token.content))


def check_runs(content: dict[str, Any]) -> None:
    """Raises UserError where some part of a tokenizer cannot run in a graph."""
    added_tokens(content)
    template(content, 1)
    template(content, 2)
    kind = content["model"]["type"]
    if kind == "WordPiece":
        _check_wordpiece(content)
    elif kind == "BPE":
        _check_bytepairs(content)


def _check_bytepairs(content: dict[str, Any]) -> None:
    splitter, model = content.get("pre_tokenizer") or {}, content["model"]
    if content.get("normalizer"):
        raise UserError(
            f"its normalizer '{content['normalizer']['type']}' cannot run in a graph with type "
            "'bpe', which takes text as it is"
        )
    if splitter.get("type") != "ByteLevel" or not splitter.get("use_regex", True):
        raise UserError(
            f"its pre_tokenizer '{splitter.get('type', 'none')}' cannot run in a graph with type "
            "'bpe'; 'ByteLevel' with its own pattern can"
        )
    options = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback",
               "ignore_merges")  # fmt: skip
    for option in options:
        if model.get(option):
            raise UserError(f"its option '{option}' of the model cannot run in a graph")
    missing = [letter for letter in letters_of_bytes() if letter not in model["vocab"]]
    if missing:
        raise UserError(
            f"its vocabulary lacks {len(missing)} of 256 bytes, the first '{missing[0]}'"
        )


def letters_of_bytes() -> list[str]:
    """The letter that stands for each byte in a byte-level vocabulary, as GPT-2's encoder says."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1),
             *range(ord("®"), ord("ÿ") + 1)}  # fmt: skip
    others = iter(range(256, 512))
    return [chr(byte if byte in shown else next(others)) for byte in range(256)]


def _check_wordpiece(content: dict[str, Any]) -> None:
    normalizer, splitter = content.get("normalizer") or {}, content.get("pre_tokenizer") or {}
    for item in (normalizer, *normalizer.get("normalizers", ())):
        if item and item["type"] not in {*NORMALIZERS, HUB_WORDS}:
            raise UserError(
                f"its normalizer '{item['type']}' cannot run in a graph; those that can: "
                f"{', '.join(sorted(NORMALIZERS))}"
            )
    kinds = [item["type"] for item in (normalizer, *normalizer.get("normalizers", ())) if item]
    if {"NFD", "NFKD"} & set(kinds) and "StripAccents" not in kinds:
        raise UserError(
            "its normalizer takes letters and accents apart and keeps both, which cannot run in a "
            "graph: it needs 'StripAccents' behind it"
        )
    if splitter.get("type") not in ("BertPreTokenizer", HUB_WORDS):
        raise UserError(
            f"its pre_tokenizer '{splitter.get('type', 'none')}' cannot run in a graph; "
            "'BertPreTokenizer' can"
        )
    if sorted(content["model"]["vocab"].values()) != list(range(len(content["model"]["vocab"]))):
        raise UserError("the ids of its vocabulary must be 0, 1, 2 and so on, without gaps")
