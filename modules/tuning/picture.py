"""The trials of a search as a picture: the scores in their order, and against each value."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfx_fusion.modules.plotting import BLUE, ORANGE, SETTINGS, save_figure
from tfx_fusion.modules.spec import Choice, Range
from tfx_fusion.modules.tuning.search import Trial

ACROSS = 3


def draw_trials(
    trials: Sequence[Trial],
    best: Trial,
    objective: str,
    maximise: bool,
    spaces: Mapping[str, Choice | Range],
    path: Path,
) -> None:
    """Draws the trials that succeeded into a file, PNG or SVG by the ending of its name."""
    scores = {n: trial.score for n, trial in enumerate(trials, 1) if trial.score is not None}
    panels = 1 + len(spaces)
    down, across = math.ceil(panels / ACROSS), min(panels, ACROSS)
    with rc_context({**SETTINGS, "font.size": 8}):
        figure = Figure(figsize=(3.6 * across, 2.8 * down), facecolor="white", layout="constrained")
        first, *others = figure.subplots(down, across, squeeze=False).ravel()
        choose = max if maximise else min
        so_far = [choose(list(scores.values())[: count + 1]) for count in range(len(scores))]
        first.plot(list(scores), list(scores.values()), "o", color=BLUE, markersize=4)
        first.step(list(scores), so_far, where="post", color=ORANGE, linewidth=1.2)
        first.set_xlabel("trial; the line is the best so far")
        for axes, (key, space) in zip(others, spaces.items(), strict=False):
            _draw_values(axes, trials, best, key, space)
        for axes in others[len(spaces) :]:
            axes.set_axis_off()
        for axes in figure.axes:
            axes.set_ylabel(objective)
            axes.spines[["top", "right"]].set_visible(False)
        save_figure(figure, path, f"trials by {objective}")


def _draw_values(
    axes: Axes, trials: Sequence[Trial], best: Trial, key: str, space: Choice | Range
) -> None:
    def position(trial: Trial) -> Any:
        value = trial.values[key]
        return space.choice.index(value) if isinstance(space, Choice) else value

    for trial in trials:
        if trial.score is not None:
            axes.plot(position(trial), trial.score, "o", color=BLUE, markersize=4)
            if trial is best:
                ring: dict[str, Any] = {"markersize": 8, "fillstyle": "none"}
                axes.plot(position(trial), trial.score, "o", color=ORANGE, **ring)
    axes.set_xlabel(key)
    if isinstance(space, Choice):
        axes.set_xticks(range(len(space.choice)), [str(value) for value in space.choice])
        axes.set_xlim(-0.5, len(space.choice) - 0.5)
    elif space.scale == "log":
        axes.set_xscale("log")
