"""The search itself, on functions whose best values are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Tuning
from tfx_fusion.modules.tuning.search import Trial, search

RATE = {"graph.rate": {"min": 0.01, "max": 1.0, "scale": "log"}}


def run(
    folder: Path,
    score: Callable[[dict[str, Any]], float],
    spaces: Any = None,
    trials: int = 4,
    maximise: bool = True,
    seed: int = 0,
    method: str = "bayesian",
) -> tuple[list[Trial], Trial, list[int]]:
    """Searches; returns the trials, the best, and the numbers of those that were reported."""
    tuning = Tuning.model_validate({"trials": trials, "method": method, "search": spaces or RATE})
    reported: list[int] = []
    found = search(
        tuning,
        seed,
        maximise,
        folder / "state",
        score,
        lambda number, _: reported.append(number),
    )
    return *found, reported


def rate(values: dict[str, Any]) -> float:
    return values["graph.rate"]


@pytest.mark.parametrize("maximise", [True, False])
def test_the_best_is_the_largest_or_the_smallest_score(maximise: bool, tmp_path: Path) -> None:
    trials, best, reported = run(tmp_path, rate, maximise=maximise)

    scores = [trial.score for trial in trials]
    assert scores == [trial.values["graph.rate"] for trial in trials]
    assert best.score == (max if maximise else min)(scores)  # type: ignore[type-var]
    assert reported == [1, 2, 3, 4]


def test_of_equal_scores_the_first_is_the_best(tmp_path: Path) -> None:
    trials, best, _ = run(tmp_path, lambda values: 0.0)
    assert best is trials[0]


def test_a_search_comes_nearer_to_the_best_values(tmp_path: Path) -> None:
    def score(values: dict[str, Any]) -> float:
        return abs(values["graph.rate"] - 0.5)

    trials, best, _ = run(tmp_path, score, trials=8, maximise=False)
    first = min(trial.score for trial in trials[:3] if trial.score is not None)
    assert best.score is not None
    assert best.score < first / 2


def test_values_are_pythons_own_in_the_types_that_were_written(tmp_path: Path) -> None:
    mixed = (True, False, 8, 0.5, "relu")
    spaces = {**RATE, "graph.units": {"min": 1, "max": 9}, "graph.any": list(mixed)}
    trials, _, _ = run(tmp_path, lambda values: values["graph.rate"], spaces, trials=11)

    assert {type(trial.values["graph.rate"]) for trial in trials} == {float}
    assert {type(trial.values["graph.units"]) for trial in trials} == {int}
    found = {trial.values["graph.any"] for trial in trials}
    assert {type(value) for value in found} <= {type(value) for value in mixed}
    assert {repr(value) for value in found} <= {repr(value) for value in mixed}


@pytest.mark.parametrize("method", ["bayesian", "random"])
@pytest.mark.parametrize("seed", [0, 7])
def test_one_seed_makes_one_search(method: str, seed: int, tmp_path: Path) -> None:
    found = [
        [trial.values for trial in run(tmp_path / str(n), rate, seed=seed, method=method)[0]]
        for n in range(2)
    ]
    assert found[0] == found[1]
    other = run(tmp_path / "other", rate, seed=seed + 1, method=method)[0]
    assert [trial.values for trial in other] != found[0]


def test_a_few_choices_are_tried_once_each(tmp_path: Path) -> None:
    trials, _, _ = run(tmp_path, lambda values: 1.0, {"graph.kind": ["a", "b"]}, trials=9)
    assert sorted(trial.values["graph.kind"] for trial in trials) == ["a", "b"]


def test_a_trial_that_fails_has_its_error_and_the_search_goes_on(tmp_path: Path) -> None:
    calls: list[float] = []

    def score(values: dict[str, Any]) -> float:
        calls.append(values["graph.rate"])
        if len(calls) in (1, 3):
            raise RunError("the loss is no number:\nlower the rate")
        return len(calls)

    trials, best, reported = run(tmp_path, score)

    assert [trial.score for trial in trials] == [None, 2, None, 4]
    reason = "the loss is no number:; lower the rate"
    assert [trial.error for trial in trials] == [reason, "", reason, ""]
    assert best is trials[3]
    assert reported == [1, 2, 3, 4]
    assert [trial.values["graph.rate"] for trial in trials] == calls


def test_a_search_in_which_every_trial_fails_reports_the_causes(tmp_path: Path) -> None:
    def score(values: dict[str, Any]) -> float:
        raise RunError("no rows")

    with pytest.raises(RunError) as caught:
        run(tmp_path, score, trials=3)
    assert str(caught.value) == "none of the 3 trials succeeded: no rows"


def test_a_fault_that_is_not_the_users_ends_the_search(tmp_path: Path) -> None:
    def score(values: dict[str, Any]) -> float:
        raise ZeroDivisionError("ours")

    with pytest.raises(Exception, match="ours") as caught:
        run(tmp_path, score)
    assert not isinstance(caught.value, RunError)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 3, 4])
def test_a_search_that_was_killed_goes_on_with_the_trial_it_was_in(at: int, tmp_path: Path) -> None:
    whole, _, _ = run(tmp_path / "whole", rate)
    calls: list[float] = []

    def score(values: dict[str, Any]) -> float:
        calls.append(values["graph.rate"])
        if len(calls) == at:
            raise Killed
        return values["graph.rate"]

    with pytest.raises(Killed):
        run(tmp_path, score)
    trials, _, reported = run(tmp_path, score)

    rates = [rate(trial.values) for trial in whole]
    assert [rate(trial.values) for trial in trials] == pytest.approx(rates)
    assert [trial.score for trial in trials] == pytest.approx(rates)
    assert len(calls) == 5  # four, and the one that was killed
    assert reported == list(range(at, 5))


def test_a_search_that_has_ended_runs_nothing_again(tmp_path: Path) -> None:
    first, best, _ = run(tmp_path, rate)

    def score(values: dict[str, Any]) -> float:
        raise AssertionError

    again, same, reported = run(tmp_path, score)
    assert (again, same, reported) == (first, best, [])


@pytest.mark.parametrize("pattern", ["oracle.json", "trial_*1/trial.json", "tuner0.json"])
def test_a_damaged_state_is_set_aside_and_the_search_starts_again(
    pattern: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _, _ = run(tmp_path / "undisturbed", rate, method="random")
    run(tmp_path, rate, method="random")
    [file] = (tmp_path / "state").glob(pattern)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    trials, _, reported = run(tmp_path, rate, method="random")

    assert [trial.values for trial in trials] == [trial.values for trial in whole]
    assert reported == [1, 2, 3, 4]
    assert caplog.messages[-1].startswith(f"{tmp_path / 'state'} is damaged (")
