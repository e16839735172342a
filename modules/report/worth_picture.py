"""The fusion and its branches on one scale for each metric, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from tfx_fusion.modules.evaluation.quality import Line
from tfx_fusion.modules.plotting import BLUE, GREY, GRID, ORANGE, text_width
from tfx_fusion.modules.report.blocks import Picture
from tfx_fusion.modules.report.drawing import SIZE, drawn, name_ticks, panel, shortened

WIDTH, ROW, HEAD, FOOT = 280.0, 15.0, 24.0, 22.0
FUSED = "fused"


def worth_picture(lines: Sequence[Line], confidence: float | None) -> Picture:
    """A panel for each metric of each output; margins over a branch are no values of a model."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if line.value is not None and not line.of.startswith("over "):
            groups.setdefault(f"{line.output}: {line.metric}", []).append(line)
    names = [shortened(line.of or FUSED, 30) for of in groups.values() for line in of]
    left = 12 + max(text_width(name, SIZE) for name in names)
    height = sum(HEAD + FOOT + ROW * len(of) for of in groups.values())

    def draw(figure: Figure) -> None:
        top = height
        for title, group in groups.items():
            room = ROW * len(group)
            top -= HEAD + room
            axes = panel(figure, left, top, WIDTH, room, title)
            top -= FOOT
            for row, line in enumerate(group):
                colour = BLUE if not line.of else ORANGE if line.of.endswith(" alone") else GREY
                if line.interval:
                    axes.plot(line.interval, [row, row], color=colour, linewidth=2, alpha=0.6)
                axes.plot([line.value or 0.0], [row], "o", color=colour, markersize=5)
            name_ticks(axes, [shortened(line.of or FUSED, 30) for line in group], across=False)
            axes.set_ylim(len(group) - 0.5, -0.5)
            axes.margins(x=0.08)
            axes.grid(axis="x", color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)

    sure = f" with {100 * confidence:g} % intervals" if confidence else ""
    alt = f"The fused model beside each branch alone and without each branch{sure}; as below."
    return drawn(left + WIDTH + 16, height, draw, alt)
