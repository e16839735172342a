"""Texts that tokenizers disagree on, drawn by a seed."""

from __future__ import annotations

import random

POOLS = (
    "abcdefgh ing under ABC the",
    "éàüñçßøÀÉ",
    "一二三漢字かなカナ한글",
    "😀👩‍👩‍👧🇩🇪✊🏽",
    "\x00\x01\t\n\r\x0b\x0c\x1c\x85\u200b\u200d\ufeff\u2028\xa0\ue000\ufffd\u3000",
    "!?.,-_()[]{}'\"`^~$+<>=|«»„“—·。、's't're 'll",
    "яжıİΣσςǅﬁﬂⅷ¼²",
    "กขคิีहिन्दीעברית",
    "e\u0301a\u0308\u0328\u0323",
    "0123456789 1st",
)
SPECIAL = ("[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]", "<s>", "</s>", "[cls]")
CORNERS = ("", " ", "a" * 100, "a" * 101, "я" * 100, "я" * 101, "ก" * 99, "the " * 400, "\0a", "'")


def fuzzed_texts(seed: int, count: int) -> list[str]:
    """Texts of mixed scripts, accents, emoji, control characters and special tokens; some empty,
    some very long, some of any characters of Unicode."""
    draw = random.Random(seed)
    return [*CORNERS, *(_text(draw) for _ in range(count - len(CORNERS)))]


def _text(draw: random.Random) -> str:
    kind, length = draw.random(), draw.choice((1, 3, 10, 40, 200))
    pools = (draw.choice(POOLS),) if kind < 0.3 else POOLS
    parts: list[str] = []
    while len(parts) < length:
        if kind > 0.9:
            code = draw.randrange(0x110000 if kind > 0.95 else 0x3000)
            parts.append("" if 0xD800 <= code < 0xE000 else chr(code))
        elif draw.random() < 0.02:
            parts.append(draw.choice(SPECIAL))
        else:
            parts.append(draw.choice(draw.choice(pools)))
    return "".join(parts)
