"""The search itself: KerasTuner proposes values, each trial trains one head on the embeddings."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from tfx_fusion.modules.errors import RunError, UserError
from tfx_fusion.modules.spec import Choice, Range, Tuning

ORACLES = {
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
}
SCORE, SECONDS = "score", "seconds"


@dataclass(frozen=True)
class Trial:
    """One set of values by place, and its score; None where it failed, and `error` says why."""

    values: dict[str, Any]
    score: float | None
    seconds: float
    error: str = ""


def search(
    tuning: Tuning,
    seed: int,
    maximise: bool,
    folder: Path,
    run_trial: Callable[[dict[str, Any]], float],
    tell: Callable[[int, Trial], None],
) -> tuple[list[Trial], Trial]:
    """Runs the trials; returns all of them in their order, and the best.

    Args:
        tuning: what is searched, and how many trials.
        seed: of the proposals.
        maximise: whether a larger score is better.
        folder: where KerasTuner keeps its state: a search that was killed goes on from there.
        run_trial: from values by place to a score; a UserError makes it a failed trial.
        tell: is told each trial that ends, by its number from 1.

    Raises RunError where no trial succeeded.
    """
    space = keras_tuner.HyperParameters()
    for place, wanted in tuning.search.items():
        _declare(space, place, wanted)
    oracle = ORACLES[tuning.method](
        objective=keras_tuner.Objective(SCORE, "max" if maximise else "min"),
        max_trials=tuning.trials,
        seed=seed + 1,  # with 0 it would draw one
        hyperparameters=space,
        tune_new_entries=False,
        max_consecutive_failed_trials=tuning.trials + 1,  # never: what failed is told at the end
    )
    # What it prints of itself would run into the run's own table.
    with redirect_stdout(StringIO()):
        tuner = _Tuner(
            tuning, run_trial, tell,
            oracle=oracle, directory=str(folder.parent), project_name=folder.name,
        )  # fmt: skip
        tuner.search(verbose=0)
    trials = {key: _told(tuning, oracle.trials[key]) for key in oracle.start_order}
    succeeded = [key for key, trial in trials.items() if trial.score is not None]
    if not succeeded:
        causes = "; ".join(sorted({trial.error for trial in trials.values()}))
        raise RunError(f"none of the {len(trials)} trials succeeded: {causes}")
    choose = max if maximise else min
    best = choose(succeeded, key=lambda key: trials[key].score or 0.0)  # ties: the first
    return list(trials.values()), trials[best]


class _Tuner(BaseTuner):
    """KerasTuner's loop around a function from values to a score."""

    def __init__(
        self,
        tuning: Tuning,
        run: Callable[[dict[str, Any]], float],
        tell: Callable[[int, Trial], None],
        **arguments: Any,
    ) -> None:
        self._tuning, self._run, self._tell = tuning, run, tell
        super().__init__(**arguments)

    def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
        started = time.monotonic()
        try:
            score = self._run(_values(self._tuning, trial))
        except UserError as error:
            # Its message is all that KerasTuner keeps of an error, as the last line of a trace.
            raise keras_tuner.errors.FailedTrialError(str(error).replace("\n", "; ")) from None
        except Exception as error:  # a fault of ours is no failed trial: KerasTuner passes it on
            raise keras_tuner.errors.FatalRuntimeError(str(error)) from error
        return {SCORE: score, SECONDS: time.monotonic() - started}

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        ended = _told(self._tuning, self.oracle.trials[trial.trial_id])
        self._tell(len(self.oracle.end_order), ended)


def _told(tuning: Tuning, trial: Any) -> Trial:
    values = _values(tuning, trial)
    if trial.status != TrialStatus.COMPLETED:
        lines = (trial.message or "").strip().splitlines()
        return Trial(values, None, 0.0, lines[-1].partition(": ")[2] if lines else "not finished")
    seconds = trial.metrics.get_last_value(SECONDS)
    return Trial(values, float(trial.score), float(seconds))


def _declare(space: Any, place: str, wanted: Choice | Range) -> None:
    if isinstance(wanted, Choice):
        # By their positions: KerasTuner takes values of one type only, and flags for numbers.
        space.Choice(place, list(range(len(wanted.choice))), ordered=False)
    else:
        declare = space.Int if wanted.is_whole else space.Float
        declare(place, wanted.min, wanted.max, sampling=wanted.scale)


def _values(tuning: Tuning, trial: Any) -> dict[str, Any]:
    """A trial's values by place, as a specification may hold them: no numbers of NumPy's."""
    found: dict[str, Any] = {}
    for place, space in tuning.search.items():
        value = trial.hyperparameters.values[place]
        if isinstance(space, Choice):
            found[place] = space.choice[value]
        else:
            found[place] = int(value) if space.is_whole else float(value)
    return found
