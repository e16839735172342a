"""The picture of a search's trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfx_fusion.modules.spec import Choice, Range
from tfx_fusion.modules.tuning.picture import draw_trials
from tfx_fusion.modules.tuning.search import Trial

SPACES = {
    "graph.hidden.layers.0.Dense.units": Range(min=1, max=9),
    "training.stages.0.learning_rate": Range(min=1e-4, max=0.1, scale="log"),
    "graph.hidden.layers.0.Dense.activation": Choice(choice=("relu", True, 3)),
}


def trial(score: float | None, units: int, kind: str | bool | int) -> Trial:
    values = dict(zip(SPACES, (units, 0.01, kind), strict=True))
    return Trial(values, score, 1.0, "" if score is not None else "too large")


@pytest.mark.parametrize("maximise", [True, False])
def test_scores_keys_and_choices_are_drawn(maximise: bool, tmp_path: Path) -> None:
    trials = [trial(0.5, 3, "relu"), trial(None, 4, True), trial(0.7, 5, 3)]
    path = tmp_path / "trials.svg"

    draw_trials(trials, trials[2], "colour.accuracy", maximise, SPACES, path)

    drawn = path.read_text()
    for text in ("colour.accuracy", *SPACES, "relu", "True", "trial; the line is the best so far"):
        assert text in drawn
    assert [file.name for file in tmp_path.iterdir()] == ["trials.svg"]


def test_a_single_trial_can_be_drawn(tmp_path: Path) -> None:
    only = trial(0.5, 3, "relu")
    draw_trials([only], only, "loss", False, SPACES, tmp_path / "trials.svg")
    assert (tmp_path / "trials.svg").is_file()
