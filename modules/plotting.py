"""What all pictures share: colours, the font, the width of text, and how a file is written.

Lengths are in points.
"""

from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import whole_file

# From the colour-blind-safe palette of Okabe and Ito.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a949b"
INK, GRID = "#1a1a1a", "#c3ccd2"
# Text stays text in an SVG, and the same picture gives the same bytes.
# A viewer without DejaVu Sans, which Matplotlib ships, takes a font that is no wider.
SETTINGS: Any = {  # the type of these settings differs between versions of Matplotlib
    "svg.fonttype": "none",
    "svg.hashsalt": "fusion",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
}
MAX_DOTS = 60_000  # to a side; Matplotlib draws at most 2^16


def check_suffix(path: Path) -> None:
    """Raises RunError for a file name that ends in neither `.svg` nor `.png`."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise RunError(f"{path}: expected a name that ends in .svg or .png; give it another name")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in points."""
    return Figure(figsize=(width / 72, height / 72), facecolor="white")


def save_figure(figure: Figure, path: Path, title: str) -> None:
    """Writes a figure whole or not at all, as SVG or PNG by its name, with its folders."""
    check_suffix(path)
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"Title": title, **({"Date": None} if kind == "svg" else {})}
    dpi = min(160.0, MAX_DOTS / max(figure.get_size_inches()))
    with whole_file(path) as aside, rc_context(SETTINGS):
        figure.savefig(aside, format=kind, dpi=dpi, metadata=metadata)


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text in the font of all pictures."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def spread(wanted: list[float], heights: list[float]) -> list[float]:
    """The centres nearest to the wanted ones that keep their order and do not overlap.

    Nearest in the sense of least squares (pool adjacent violators): things that would overlap are
    set side by side around the mean of their wanted centres.

    Example:
        >>> spread([5.0, 5.0, 30.0], [10.0, 10.0, 10.0])
        [0.0, 10.0, 30.0]
    """
    steps = [(above + below) / 2 for above, below in pairwise(heights)]
    offsets = list(accumulate(steps, initial=0.0))[: len(heights)]
    blocks: list[list[float]] = []
    for centre, offset in zip(wanted, offsets, strict=True):
        blocks.append([centre - offset])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    shifts = [fmean(block) for block in blocks for _ in block]
    return [shift + offset for shift, offset in zip(shifts, offsets, strict=True)]
