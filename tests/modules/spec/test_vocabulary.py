"""Vocabulary files: a token's id is the number of its line."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import RunError, UserError
from tfx_fusion.modules.spec.vocabulary import read_vocabulary


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "words.txt"


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_vocabulary(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (b"[UNK]\nred\ngreen\n", ("[UNK]", "red", "green")),
        (b"red\ngreen", ("red", "green")),
        (b"red\r\ngreen\r\n", ("red", "green")),
        ("grün\n日本\n".encode(), ("grün", "日本")),
        (b"red\n", ("red",)),
        # Keras's `get_vocabulary()` starts so: the padding is an empty token.
        (b"\n[UNK]\nred\n", ("", "[UNK]", "red")),
        # No other separator of lines counts, or every id behind it would be one off.
        ("a\x0bb\nc\u2028d\ne\x85f\n".encode(), ("a\x0bb", "c\u2028d", "e\x85f")),
    ],
    ids=["unix", "no-last-newline", "windows", "unicode", "one", "padding", "odd-separators"],
)
def test_each_line_is_a_token_in_the_order_of_ids(
    file: Path, content: bytes, tokens: tuple[str, ...]
) -> None:
    file.write_bytes(content)

    assert read_vocabulary(file) == tokens


def test_a_byte_order_mark_is_no_part_of_the_first_token(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[UNK]\nred\n")

    assert read_vocabulary(file) == ("[UNK]", "red")


def test_another_content_than_the_wanted_is_refused_by_its_path(file: Path) -> None:
    file.write_text("red\n")
    digest = hashlib.sha256(b"red\n").hexdigest()
    assert read_vocabulary(file, digest) == ("red",)
    changed = file.stat().st_mtime_ns

    file.write_text("rad\n")
    os.utime(file, ns=(changed, changed))

    with pytest.raises(RunError, match=f"vocabulary {file}: the file changed .*: run again"):
        read_vocabulary(file, digest)


def test_a_changed_file_is_read_again(file: Path) -> None:
    file.write_text("red\n")
    os.utime(file, ns=(0, 0))
    assert read_vocabulary(file) == ("red",)

    file.write_text("rad\n")
    os.utime(file, ns=(0, 0))  # neither its size nor its time says so

    assert read_vocabulary(file) == ("rad",)


def test_a_missing_file_is_told(file: Path) -> None:
    assert refusal(file) == f"vocabulary {file}: no such file"


def test_a_folder_is_no_vocabulary(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"vocabulary {tmp_path}: no such file"


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    assert refusal(file) == f"vocabulary {file}: expected one token a line, found an empty file"


def test_a_file_that_is_not_utf_8_is_refused(file: Path) -> None:
    file.write_bytes("grün\n".encode("latin-1"))

    assert refusal(file).startswith(f"vocabulary {file}: expected UTF-8 text, found ")


@pytest.mark.parametrize(
    ("content", "line", "token", "first"),
    [
        ("red\ngreen\nred\n", 3, "'red'", 1),
        ("red\n\ngreen\n\n", 4, "''", 2),
    ],
)
def test_a_token_that_is_there_twice_is_reported_with_both_lines(
    file: Path, content: str, line: int, token: str, first: int
) -> None:
    file.write_text(content)

    assert refusal(file) == (
        f"vocabulary {file}, line {line}: token {token} is on line {first} already; each token once"
    )
