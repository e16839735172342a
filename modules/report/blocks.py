"""What a page is made of: sections of texts, tables, pictures and examples, all plain data.

Every text here is untrusted: the template escapes it.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Tone = Literal["", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Cell:
    """A cell that says whether it is good or bad, or a digest or path to be set in equal widths."""

    text: str
    tone: Tone = ""
    is_code: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `numbers` are the columns to be set flush right. The first column names the row."""

    kind: ClassVar[str] = "table"
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    numbers: Sequence[int] = ()

    def cells(self) -> list[list[Cell]]:
        """The rows, bare texts as cells too."""
        return [
            [cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows
        ]


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI; `alt` says what it shows."""

    kind: ClassVar[str] = "picture"
    uri: str
    alt: str


@dataclass(frozen=True)
class Folded:
    """A long text that opens at a click."""

    kind: ClassVar[str] = "folded"
    title: str
    text: str


@dataclass(frozen=True)
class Example:
    """A row of the data: its pictures, its other features, and what was said of it."""

    row: str
    pictures: Sequence[Picture]
    features: Sequence[tuple[str, str]]
    truth: str
    predicted: str


@dataclass(frozen=True)
class Examples:
    """Rows side by side."""

    kind: ClassVar[str] = "examples"
    title: str
    examples: Sequence[Example]


Block = Text | Table | Picture | Folded | Examples


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading; `name` is where the table of contents leads."""

    name: str
    title: str
    blocks: Sequence[Block]


def data_uri(content: bytes, kind: str) -> str:
    """A file's content in place of its address; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def svg(content: str, alt: str) -> Picture:
    """A drawing. As an image it runs no script and loads nothing, whatever its text says."""
    return Picture(data_uri(content.encode(), "image/svg+xml"), alt)
