"""The quality of a model, slice by slice and against the champion, is what NumPy finds by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from scipy import stats

from tfx_fusion.modules.evaluation.quality import (
    Line,
    Measured,
    Quality,
    assess,
    judge,
    measured,
    read_quality,
    write_quality,
)
from tfx_fusion.modules.spec import Evaluation, Specification

pytestmark = pytest.mark.component


def evaluated(specification: Specification, **evaluation: Any) -> Specification:
    return specification.model_copy(update={"evaluation": Evaluation.model_validate(evaluation)})


@pytest.fixture(scope="module")
def champion(export_trained: Callable[..., Any]) -> Any:
    return export_trained("champion", seed=5)


@pytest.fixture(scope="module")
def bounded(exported: Any) -> Specification:
    error = {"mean_absolute_error": {"max": 99, "change": {"min": -99, "max": -98}}}
    impossible = {"tags": {"recall": {"min": 1.01}}}
    easy = {"steep": {"accuracy": {"min": 0, "change": {"min": -1}}}}
    return evaluated(
        exported.specification,
        slices=["region"],
        thresholds={"area": error},
        slice_thresholds=[
            {"slice": {"region": "north"}, "thresholds": impossible},
            {"slice": ["steep", "region"], "thresholds": easy},
            {"slice": {"steep": "yes"}, "thresholds": impossible},
            {"slice": {"region": "east"}, "thresholds": easy},
        ],
        confidence=0.9,
    )


@pytest.fixture(scope="module")
def results(bounded: Specification, champion: Any, evaluate: Callable[..., Path]) -> Path:
    return evaluate(bounded, champion)


@pytest.fixture(scope="module")
def quality(bounded: Specification, results: Path) -> Quality:
    return assess(bounded, results)


def rows_in(exported: Any, line: Line) -> np.ndarray:
    return np.array(
        [all(row[name] == value for name, value in line.slice.items()) for row in exported.rows]
    )


def errors_of(exported: Any, model: Any) -> np.ndarray:
    areas = np.array([row["area"] for row in exported.rows])
    predicted = model.signature("predict_examples", examples=exported.serialized())["area"]
    return np.abs(areas - predicted[:, 0])


def hits_of(exported: Any, model: Any) -> np.ndarray:
    true = np.array([row["steep"] == "yes" for row in exported.rows])
    chances = model.signature("predict_examples", examples=exported.serialized())["steep"]
    return ((chances[:, 0] > 0.5) == true).astype(float)


def line_of(quality: Quality, output: str, metric: str, **where: str) -> Line:
    return next(
        line for line in quality.lines
        if (line.output, line.metric, line.slice) == (output, metric, where)
    )  # fmt: skip


def test_slices_are_by_feature_by_class_and_by_both_crossed(quality: Quality) -> None:
    found = [line.slice for line in quality.lines if line.metric == "mean_absolute_error"]

    assert found == [
        {},
        {"region": "north"}, {"region": "south"},
        {"region": "north", "steep": "no"}, {"region": "north", "steep": "yes"},
        {"region": "south", "steep": "no"}, {"region": "south", "steep": "yes"},
        {"steep": "no"}, {"steep": "yes"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("output", "metric", "of_rows"),
    [("area", "mean_absolute_error", errors_of), ("steep", "accuracy", hits_of)],
)
def test_each_line_has_candidate_champion_and_change(
    quality: Quality, exported: Any, champion: Any, output: str, metric: str, of_rows: Callable
) -> None:
    candidate, old = of_rows(exported, exported), of_rows(exported, champion)
    lines = [line for line in quality.lines if (line.output, line.metric) == (output, metric)]

    assert len(lines) == 9
    for line in lines:
        rows = rows_in(exported, line)
        assert line.rows == rows.sum()
        assert line.value == pytest.approx(candidate[rows].mean(), abs=1e-5)
        assert line.champion == pytest.approx(old[rows].mean(), abs=1e-5)
        assert line.change == pytest.approx((candidate - old)[rows].mean(), abs=1e-5)


def test_the_interval_of_a_change_is_of_the_same_rows_in_both(
    quality: Quality, exported: Any, champion: Any
) -> None:
    line = line_of(quality, "area", "mean_absolute_error", region="south")
    rows = rows_in(exported, line)
    change = (errors_of(exported, exported) - errors_of(exported, champion))[rows]

    wanted = stats.bootstrap(
        (change,), np.mean, confidence_level=0.9, method="percentile", random_state=1
    ).confidence_interval

    reach = wanted.high - wanted.low
    assert line.change_interval == pytest.approx((wanted.low, wanted.high), abs=0.1 * reach)


def test_every_value_lies_in_its_interval(quality: Quality) -> None:
    for line in quality.lines:
        assert line.interval is not None
        assert line.value is not None
        assert line.interval[0] <= line.value <= line.interval[1], line


def test_a_missed_bound_names_slice_value_interval_and_bound(quality: Quality) -> None:
    north = line_of(quality, "tags", "recall", region="north")
    error = line_of(quality, "area", "mean_absolute_error")
    assert north.interval is not None
    assert error.change_interval is not None

    assert quality.missed == (
        f"area.mean_absolute_error changes by {error.change:+.4f} (90 % interval "
        f"{error.change_interval[0]:+.4f} to {error.change_interval[1]:+.4f}) from the champion's "
        f"{error.champion:.4f}, at most -98 is allowed",
        f"tags.recall in region north is {north.value:.4f} (90 % interval {north.interval[0]:.4f} "
        f"to {north.interval[1]:.4f}), at least 1.01 is needed",
        *[text for text in quality.missed if text.startswith("tags.recall in steep yes is")],
        "steep.accuracy in region east is bounded, but the evaluation split has no such row",
    )
    assert len(quality.missed) == 4


def test_each_bound_stands_with_the_line_that_it_is_for(quality: Quality) -> None:
    found = {
        (line.output, line.metric, line.where): [(bound.text, bound.met) for bound in line.bounds]
        for line in quality.lines
        if line.bounds
    }

    both = [("≥ 0", True), ("change ≥ -1", True)]
    assert found == {
        ("area", "mean_absolute_error", ""): [
            ("≤ 99", True), ("change ≥ -99", True), ("change ≤ -98", False),
        ],
        ("tags", "recall", "region north"): [("≥ 1.01", False)],
        ("tags", "recall", "steep yes"): [("≥ 1.01", False)],
        ("steep", "accuracy", "region north, steep no"): both,
        ("steep", "accuracy", "region north, steep yes"): both,
        ("steep", "accuracy", "region south, steep no"): both,
        ("steep", "accuracy", "region south, steep yes"): both,
    }  # fmt: skip


def test_tfma_finds_the_same_bounds_missed(quality: Quality, results: Path) -> None:
    validation = tfma.load_validation_result(str(results))

    failures = {
        (failure.metric_key.output_name, failure.metric_key.name, failure.metric_key.is_diff)
        for part in validation.metric_validations_per_slice
        for failure in part.failures
    }
    assert failures == {("area", "mean_absolute_error", True), ("tags", "recall", False)}
    assert [dict(spec.feature_values) for spec in validation.missing_slices] == [{"region": "east"}]


def test_without_a_champion_its_bounds_are_skipped_with_the_reason(
    bounded: Specification, evaluate: Callable[..., Path]
) -> None:
    changes = evaluated(
        bounded, thresholds={"area": {"mean_absolute_error": {"change": {"max": -99}}}}
    )

    found = assess(changes, evaluate(changes))

    assert found.missed == ()
    assert found.is_bounded
    assert found.skipped == (
        "area.mean_absolute_error: change not checked: no published model yet",
    )
    [line] = [line for line in found.lines if line.bounds]
    assert [(bound.text, bound.met) for bound in line.bounds] == [("change ≤ -99", None)]
    assert (line.champion, line.change, line.interval) == (None, None, None)


# What is judged, of any measures


def judged(specification: Specification, found_in: dict, **evaluation: Any) -> Quality:
    counts = {(output, "example_count"): 3.0 for output in specification.outputs}
    given = {where: Measured({**counts, **found}, {}, {}) for where, found in found_in.items()}
    return judge(evaluated(specification, **evaluation), given, lambda where: {})


def test_a_plain_threshold_is_for_the_whole_split_only(exported: Any) -> None:
    at = "steep", "accuracy"
    slices = {(): {at: 0.8}, (("region", "north"),): {at: 0.6}}

    found = judged(
        exported.specification, slices,
        slices=["region"], thresholds={"steep": {"accuracy": {"min": 0.7}}},
    )  # fmt: skip

    assert found.missed == ()


def test_tfma_holds_a_plain_threshold_against_the_whole_split_only(
    exported: Any, evaluate: Callable[..., Path], quality: Quality
) -> None:
    whole = line_of(quality, "area", "mean_absolute_error")
    slices = [line_of(quality, "area", "mean_absolute_error", region=r) for r in ("north", "south")]
    bound = (whole.value + max(line.value for line in slices)) / 2
    given = evaluated(
        exported.specification,
        slices=["region"],
        thresholds={"area": {"mean_absolute_error": {"max": bound}}},
    )

    assert tfma.load_validation_result(str(evaluate(given))).validation_ok


@pytest.mark.parametrize("value", [float("nan"), None])
def test_what_cannot_be_computed_meets_no_bound(exported: Any, value: float | None) -> None:
    of_whole = {} if value is None else {("steep", "accuracy"): value}

    found = judged(
        exported.specification, {(): of_whole}, thresholds={"steep": {"accuracy": {"min": 0}}}
    )

    assert found.missed == ("steep.accuracy is not a finite number, at least 0 is needed",)
    assert found.overall() == {}


@pytest.mark.parametrize(
    ("bounds", "met"),
    [({"min": 0.8}, True), ({"min": 0.81}, False), ({"max": 0.8}, True), ({"max": 0.79}, False)],
)
def test_a_bound_itself_is_allowed(exported: Any, bounds: dict, met: bool) -> None:
    found = judged(
        exported.specification,
        {(): {("steep", "accuracy"): 0.8}},
        thresholds={"steep": {"accuracy": bounds}},
    )

    assert (found.missed == ()) == met


def test_without_any_bound_nothing_was_asked(exported: Any) -> None:
    assert not judged(exported.specification, {(): {("steep", "accuracy"): 0.8}}).is_bounded


def test_what_is_written_is_read_again(quality: Quality, tmp_path: Path) -> None:
    write_quality(quality, tmp_path)

    assert read_quality(tmp_path) == quality


def test_measures_of_a_single_output_have_its_name(
    exported: Any, evaluate: Callable[..., Path]
) -> None:
    given = evaluated(exported.specification, slices=["steep"])
    alone = given.model_copy(update={"outputs": {"steep": given.outputs["steep"]}})

    found = measured(evaluate(alone), alone)

    assert list(found) == [(), (("steep", "no"),), (("steep", "yes"),)]
    assert ("steep", "accuracy") in found[()].candidate
