"""Vocabulary files: one token a line, in UTF-8; a token's id is the number of its line from 0."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tfx_fusion.modules.errors import UserError

UNKNOWN = "[UNK]"
PADDING = ("", "[PAD]")


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int) -> tuple[str, ...]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"vocabulary {path}: expected UTF-8 text, found {error.reason}") from error
    tokens = tuple(line.rstrip("\r") for line in text.removesuffix("\n").split("\n"))
    if tokens == ("",):
        raise UserError(f"vocabulary {path}: expected one token a line, found an empty file")
    seen: dict[str, int] = {}
    for number, token in enumerate(tokens, start=1):
        if token in seen:
            raise UserError(
                f"vocabulary {path}, line {number}: token {token!r} is on line {seen[token]} "
                "already; each token once"
            )
        seen[token] = number
    return tokens


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """The tokens of a vocabulary file in the order of their ids.

    Raises UserError where the file is missing, empty, not UTF-8, or names a token twice.
    """
    if not path.is_file():
        raise UserError(f"vocabulary {path}: no such file")
    return _read(path, path.stat().st_mtime_ns)
