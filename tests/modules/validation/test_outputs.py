"""Losses, class weights and metrics that do not fit their label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import Change, colours

from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.validation.names import specification_problems

Specify = Callable[..., Specification]

LABEL = "{type: category, column: colour, classes: [red, green, blue]}"
NUMBER_LABEL = (LABEL, "{type: number, column: colour}")
MULTI_LABEL = (LABEL, LABEL.replace("category", "multi_label"))
MULTI_LABEL_LOSS = ("loss: categorical_crossentropy", "loss: binary_crossentropy")
NUMBER_LOSS = ("loss: categorical_crossentropy", "loss: mean_squared_error")
NUMBER_METRICS = ("metrics: [accuracy]", "metrics: [mean_absolute_error]")
NO_THRESHOLDS = ("{colour: {accuracy: {min: 0.2}}}", "{}")


@pytest.fixture
def specification(tmp_path: Path) -> Specify:
    """The small specification with pieces of its text replaced: `(old, new), …`."""
    return lambda *changes: colours(tmp_path, *changes)


def problems_of(specification: Specification) -> list[str]:
    return [str(problem) for problem in specification_problems(specification)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("from: scores", "from: scores, label: color"),
            "outputs.colour.label: no label is named 'color'; did you mean 'colour'?",
        ),
        (
            ("labels:\n  colour", "labels:\n  color"),
            "outputs.colour.label: no label is named 'colour'; did you mean 'color'?",
        ),
        (
            ("labels:\n  colour", "labels:\n  zzz"),
            "outputs.colour.label: no label is named 'colour'; known: zzz",
        ),
    ],
)
def test_an_output_needs_a_label(specification: Specify, change: Change, expected: str) -> None:
    assert expected in problems_of(specification(change))


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
def test_a_category_is_learnt_with_a_crossentropy(specification: Specify, loss: str) -> None:
    assert problems_of(specification(("loss: categorical_crossentropy", f"loss: {loss}"))) == []


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_a_number_is_learnt_with_an_error(specification: Specify, loss: str) -> None:
    given = specification(
        NUMBER_LABEL, ("loss: categorical_crossentropy", f"loss: {loss}"), NUMBER_METRICS,
        NO_THRESHOLDS,
    )  # fmt: skip

    assert problems_of(given) == []


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_a_category_refuses_the_loss_of_a_number(specification: Specify, loss: str) -> None:
    assert problems_of(specification(("loss: categorical_crossentropy", f"loss: {loss}"))) == [
        f"outputs.colour.loss: a label of type category needs one of categorical_crossentropy, "
        "categorical_focal_crossentropy, binary_crossentropy, binary_focal_crossentropy, hinge, "
        f"cosine_similarity; found {loss}"
    ]


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
def test_a_number_refuses_the_loss_of_a_category(specification: Specify, loss: str) -> None:
    given = specification(
        NUMBER_LABEL, ("loss: categorical_crossentropy", f"loss: {loss}"), NUMBER_METRICS,
        NO_THRESHOLDS,
    )  # fmt: skip

    assert problems_of(given) == [
        "outputs.colour.loss: a label of type number needs one of mean_squared_error, "
        f"mean_absolute_error, huber, poisson, quantile; found {loss}"
    ]


@pytest.mark.parametrize(
    "metric", ["mean_squared_error", "mean_absolute_error", "root_mean_squared_error"]
)
def test_a_category_refuses_the_metrics_of_a_number(specification: Specify, metric: str) -> None:
    given = specification(("metrics: [accuracy]", f"metrics: [accuracy, {metric}]"))

    assert problems_of(given) == [
        f"outputs.colour.metrics: {metric} does not fit a label of type category"
    ]


@pytest.mark.parametrize("metric", ["accuracy", "top_3_accuracy", "auc", "precision", "recall"])
def test_a_number_refuses_the_metrics_of_a_category(specification: Specify, metric: str) -> None:
    given = specification(
        NUMBER_LABEL, NUMBER_LOSS, ("metrics: [accuracy]", f"metrics: [{metric}]"), NO_THRESHOLDS
    )

    assert problems_of(given) == [
        f"outputs.colour.metrics: {metric} does not fit a label of type number"
    ]


@pytest.mark.parametrize("metric", ["auc", "precision", "recall"])
def test_the_metrics_of_yes_and_no_need_a_binary_crossentropy(
    specification: Specify, metric: str
) -> None:
    asked = ("metrics: [accuracy]", f"metrics: [accuracy, {metric}]")

    assert problems_of(specification(asked)) == [
        f"outputs.colour.metrics: {metric} needs two classes and binary_crossentropy"
    ]
    assert not problems_of(
        specification(asked, ("loss: categorical_crossentropy", "loss: binary_crossentropy"))
    )


def test_several_classes_are_learnt_with_a_binary_crossentropy(
    specification: Specify,
) -> None:
    metrics = ("metrics: [accuracy]", "metrics: [accuracy, auc, precision, recall]")

    assert problems_of(specification(MULTI_LABEL, MULTI_LABEL_LOSS, metrics)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [],
            "outputs.colour.loss: a label of type multi_label needs one of "
            "binary_crossentropy, binary_focal_crossentropy, hinge, cosine_similarity; found "
            "categorical_crossentropy",
        ),
        (
            [("loss: categorical_crossentropy", "loss: huber")],
            "outputs.colour.loss: a label of type multi_label needs one of "
            "binary_crossentropy, binary_focal_crossentropy, hinge, cosine_similarity; found huber",
        ),
        (
            [MULTI_LABEL_LOSS, ("[accuracy]", "[accuracy, top_3_accuracy]")],
            "outputs.colour.metrics: top_3_accuracy does not fit a label of type multi_label",
        ),
        (
            [MULTI_LABEL_LOSS, ("[accuracy]", "[accuracy, mean_absolute_error]")],
            "outputs.colour.metrics: mean_absolute_error does not fit a label of type multi_label",
        ),
        *(
            (
                [MULTI_LABEL_LOSS, ("[accuracy]", f"[accuracy], class_weights: {weights}")],
                "outputs.colour.class_weights: a row of a label of type multi_label has no "
                "single class to be weighted by; remove the weights",
            )
            for weights in ("balanced", "{red: 2}")
        ),
    ],
)
def test_several_classes_refuse_what_is_of_one_class(
    specification: Specify, changes: list[Change], expected: str
) -> None:
    assert problems_of(specification(MULTI_LABEL, *changes)) == [expected]


POISSON = ("loss: categorical_crossentropy", "loss: poisson")


def test_poisson_refuses_a_normalized_label(specification: Specify) -> None:
    label = (LABEL, "{type: number, column: colour, normalize: standard}")

    assert problems_of(specification(label, POISSON, NUMBER_METRICS, NO_THRESHOLDS)) == [
        "outputs.colour.loss: poisson needs labels of at least 0, and labels.colour.normalize "
        "scales them below: remove one of the two"
    ]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("macro_f1", None),
        ("calibration_error: {bins: 10}", None),
        ("pr_auc", "pr_auc needs two classes and binary_crossentropy"),
        ("precision: {threshold: 0.3}", "precision@0.3 needs two classes and binary_crossentropy"),
        ("r2", "r2 does not fit a label of type category"),
        ("accuracy: {threshold: 0.3}", "accuracy@0.3: the most probable class is the answer here"),
    ],
)
def test_a_metric_of_a_category_fits_or_is_refused(
    specification: Specify, metric: str, expected: str | None
) -> None:
    written = f"{{{metric}}}" if ":" in metric else metric

    found = problems_of(specification(("metrics: [accuracy]", f"metrics: [{written}]"),
                                      NO_THRESHOLDS))  # fmt: skip

    assert [text.partition(": ")[2].startswith(expected or "") for text in found] == (
        [True] if expected else []
    )


def test_a_threshold_names_a_metric_with_its_parameter(specification: Specify) -> None:
    changes = [
        ("loss: categorical_crossentropy", "loss: binary_crossentropy"),
        ("metrics: [accuracy]", "metrics: [{precision: {threshold: 0.3}}]"),
    ]
    bounded = specification(*changes, (NO_THRESHOLDS[0], "{colour: {precision@0.3: {min: 0.2}}}"))
    other = specification(*changes, (NO_THRESHOLDS[0], "{colour: {precision: {min: 0.2}}}"))

    assert problems_of(bounded) == []
    assert problems_of(other) == [
        "evaluation.thresholds.colour.precision: outputs.colour.metrics does not list it; add it "
        "there"
    ]
