"""Vocabulary files: one token a line, in UTF-8; a token's id is the number of its line from 0."""

import hashlib
from functools import lru_cache
from pathlib import Path

from tfx_fusion.modules.errors import RunError, UserError

UNKNOWN = "[UNK]"
PADDING = ("", "[PAD]")


@lru_cache(maxsize=64)
def _read(path: Path, *_state: int) -> tuple[str, ...]:
    return parse_vocabulary(path, path.read_bytes())


def parse_vocabulary(path: Path, content: bytes) -> tuple[str, ...]:
    """The tokens in the content of a vocabulary file. Raises UserError as `read_vocabulary`."""
    try:
        text = content.decode("utf-8-sig")
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


def read_vocabulary(path: Path, digest: str = "") -> tuple[str, ...]:
    """The tokens of a vocabulary file in the order of their ids.

    Args:
        path: the file.
        digest: the SHA-256 of the content that is wanted; empty takes any.

    Raises UserError where the file is missing, empty, not UTF-8, or names a token twice; RunError
    where it has another content.
    """
    if not path.is_file():
        raise UserError(f"vocabulary {path}: no such file")
    if digest:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise RunError(
                f"vocabulary {path}: the file changed since the run began, or since its pipeline "
                "was compiled: run again, or compile again"
            )
        return parse_vocabulary(path, content)
    state = path.stat()
    return _read(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
