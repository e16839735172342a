"""The trials of a search as a picture: the scores in their order, and against each value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfx_fusion.modules.graph.picture import SETTINGS, save_figure
from tfx_fusion.modules.spec import Choice, Range
from tfx_fusion.modules.tuning.search import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 3
DOT, BEST = "#0072b2", "#d55e00"  # from the colour-blind-safe palette of Okabe and Ito


def draw_trials(
    trials: Sequence[Trial],
    best: Trial,
    objective: str,
    maximise: bool,
    spaces: Mapping[str, Choice | Range],
    path: Path,
) -> None:
    """Draws the trials that succeeded into a file, PNG or SVG by the ending of its name."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    done = [(t, t.score, number) for number, t in enumerate(trials, 1) if t.score is not None]
    panels = 1 + len(spaces)
    down = math.ceil(panels / ACROSS)
    across = min(panels, ACROSS)
    with rc_context({**SETTINGS, "font.size": 8}):
        figure = Figure(figsize=(3.6 * across, 2.8 * down), facecolor="white", layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for unused in axes[panels:]:
            unused.set_axis_off()
        scores, numbers = [score for _, score, _ in done], [number for _, _, number in done]
        axes[0].plot(numbers, scores, "o", color=DOT, markersize=4)
        so_far = [
            max(scores[: n + 1]) if maximise else min(scores[: n + 1]) for n in range(len(done))
        ]
        axes[0].step(numbers, so_far, where="post", color=BEST, linewidth=1.2)
        axes[0].set_xlabel("trial; the line is the best so far")
        for panel, (place, space) in zip(axes[1:], spaces.items(), strict=False):
            _draw_values(panel, [(trial, score) for trial, score, _ in done], best, place, space)
        for panel in axes[:panels]:
            panel.set_ylabel(objective)
            panel.spines[["top", "right"]].set_visible(False)
        save_figure(figure, path, f"trials by {objective}")


def _draw_values(
    axes: Axes,
    done: Sequence[tuple[Trial, float]],
    best: Trial,
    place: str,
    space: Choice | Range,
) -> None:
    def where(trial: Trial) -> Any:
        value = trial.values[place]
        return space.choice.index(value) if isinstance(space, Choice) else value

    for trial, score in done:
        axes.plot([where(trial)], [score], "o", color=DOT, markersize=4)
        if trial is best:
            axes.plot([where(trial)], [score], "o", color=BEST, markersize=8, fillstyle="none")
    axes.set_xlabel(place)
    if isinstance(space, Choice):
        axes.set_xticks(range(len(space.choice)), [str(value) for value in space.choice])
        axes.set_xlim(-0.5, len(space.choice) - 0.5)
    elif space.scale == "log":
        axes.set_xscale("log")
