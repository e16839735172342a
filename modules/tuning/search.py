"""The search itself: KerasTuner proposes values, each trial trains one head on the embeddings."""

import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from tfx_fusion.modules.errors import RunError, UserError, first_line
from tfx_fusion.modules.files import set_aside
from tfx_fusion.modules.spec import Choice, Range, Tuning

ORACLES = {
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
}
SCORE, SECONDS = "score", "seconds"


@dataclass(frozen=True)
class Trial:
    """One set of values by their keys, and its score; None where it failed, with an `error`."""

    values: dict[str, Any]
    score: float | None
    seconds: float
    error: str = ""


def search(
    tuning: Tuning,
    seed: int,
    maximise: bool,
    folder: Path,
    score: Callable[[dict[str, Any]], float],
    on_trial_end: Callable[[int, Trial], None],
) -> tuple[list[Trial], Trial]:
    """Runs the trials; returns all of them in their order, and the best.

    Args:
        tuning: what is searched, and how many trials.
        seed: of the proposals.
        maximise: whether a larger score is better.
        folder: where KerasTuner stores its state; a search that was killed continues from there.
        score: from values by key to a score; a UserError makes it a failed trial.
        on_trial_end: called after each trial with its number, from 1.

    Raises RunError where no trial succeeded.
    """
    space = keras_tuner.HyperParameters()
    for key, values in tuning.search.items():
        _declare(space, key, values)

    def tuner() -> _Tuner:
        oracle = ORACLES[tuning.method](
            objective=keras_tuner.Objective(SCORE, "max" if maximise else "min"),
            max_trials=tuning.trials,
            seed=seed + 1,  # KerasTuner takes 0 for no seed and draws one
            hyperparameters=space,
            tune_new_entries=False,
            # Failed trials never end the search: their errors are reported at its end.
            max_consecutive_failed_trials=tuning.trials + 1,
        )
        return _Tuner(
            tuning.search, score, on_trial_end,
            oracle=oracle, directory=str(folder.parent), project_name=folder.name,
        )  # fmt: skip

    # What KerasTuner prints would run into the run's own table.
    with redirect_stdout(StringIO()):
        try:
            found = tuner()
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            # KerasTuner writes its files where they stay: a kill leaves half of one.
            set_aside(folder, first_line(error), "the search starts from its first trial")
            found = tuner()
        found.search(verbose=0)
    oracle = found.oracle
    trials = [_finished(tuning.search, oracle.trials[key]) for key in oracle.start_order]
    succeeded = [trial for trial in trials if trial.score is not None]
    if not succeeded:
        causes = "; ".join(sorted({trial.error for trial in trials}))
        raise RunError(f"none of the {len(trials)} trials succeeded: {causes}")
    best = (max if maximise else min)(succeeded, key=lambda trial: trial.score or 0.0)
    return trials, best


class _Tuner(BaseTuner):
    """KerasTuner's loop around a function from values to a score."""

    def __init__(
        self,
        space: Mapping[str, Choice | Range],
        score: Callable[[dict[str, Any]], float],
        on_trial_end: Callable[[int, Trial], None],
        **arguments: Any,
    ) -> None:
        self._space, self._score, self._on_trial_end = space, score, on_trial_end
        super().__init__(**arguments)

    def run_trial(self, trial: Any, *_: Any, **__: Any) -> dict[str, float]:
        started = time.monotonic()
        try:
            score = self._score(_values(self._space, trial))
        except UserError as error:
            # KerasTuner stores no more of an error than the last line of its trace.
            raise keras_tuner.errors.FailedTrialError(str(error).replace("\n", "; ")) from None
        except Exception as error:  # a fault of ours must end the search, not one trial
            raise keras_tuner.errors.FatalRuntimeError(str(error)) from error
        return {SCORE: score, SECONDS: time.monotonic() - started}

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        finished = _finished(self._space, self.oracle.trials[trial.trial_id])
        self._on_trial_end(len(self.oracle.end_order), finished)


def _finished(space: Mapping[str, Choice | Range], trial: Any) -> Trial:
    values = _values(space, trial)
    if trial.status != TrialStatus.COMPLETED:
        lines = (trial.message or "").strip().splitlines()
        return Trial(values, None, 0.0, lines[-1].partition(": ")[2] if lines else "not finished")
    seconds = trial.metrics.get_last_value(SECONDS)
    return Trial(values, float(trial.score), float(seconds))


def _declare(space: Any, key: str, values: Choice | Range) -> None:
    if isinstance(values, Choice):
        # By their positions: KerasTuner takes values of one type only, and flags for numbers.
        space.Choice(key, list(range(len(values.choice))), ordered=False)
    else:
        declare = space.Int if values.is_whole else space.Float
        declare(key, values.min, values.max, sampling=values.scale)


def _values(space: Mapping[str, Choice | Range], trial: Any) -> dict[str, Any]:
    """A trial's values by key, in the types of Python: a YAML file holds no numbers of NumPy's."""
    found: dict[str, Any] = {}
    for key, values in space.items():
        value = trial.hyperparameters.values[key]
        if isinstance(values, Choice):
            found[key] = values.choice[value]
        else:
            found[key] = int(value) if values.is_whole else float(value)
    return found
