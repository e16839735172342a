"""What a report says of its run at a glance: whether a model was published, and why not."""

from __future__ import annotations

from html.parser import HTMLParser

GLANCE = "glance"  # the section's name, in modules/report/overview.py


class _Glance(HTMLParser):
    """Collects the paragraphs of one section."""

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: list[str] = []
        self._inside = False
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._inside = ("id", GLANCE) in attrs
        elif tag == "p" and self._inside:
            self._open = True
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.paragraphs[-1] += data


def glance(page: str) -> tuple[str, str]:
    """The run's status, and what the report adds to it; empty where the page says nothing."""
    reader = _Glance()
    reader.feed(page)
    status, *more = [*reader.paragraphs, ""]
    return status.strip(), " ".join(text.strip() for text in more if text.strip())
