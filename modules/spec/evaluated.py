"""The part of a specification that an evaluation reads; it stands for any model's evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from pydantic import Field, model_validator

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.metrics.table import METRICS, Kind
from tfx_fusion.modules.spec.base import Count, Fraction, Name, Part, Whole
from tfx_fusion.modules.spec.evaluation import Evaluation, Metric
from tfx_fusion.modules.spec.features import CategoryLabel, Label, may_be_missing, missing_name
from tfx_fusion.modules.spec.specification import Fusion
from tfx_fusion.modules.spec.views import labels_in_rows


class HasMetrics(Protocol):
    """An output of a specification or of an evaluation."""

    @property
    def metrics(self) -> tuple[str, ...]: ...


class Evaluated(Protocol):
    """What an evaluation reads: of a whole specification, or of an EvaluationView."""

    @property
    def labels(self) -> Mapping[str, Label]: ...
    @property
    def outputs(self) -> Mapping[str, HasMetrics]: ...
    @property
    def evaluation(self) -> Evaluation: ...
    @property
    def max_rejected(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...

    def sliced_by(self) -> tuple[tuple[str, ...], ...]: ...
    def label_of(self, output: str) -> Label: ...
    def label_name(self, output: str) -> str: ...
    def kind_of(self, output: str) -> Kind: ...


class EvaluatedOutput(Part):
    """An output of any model: the label it predicts, its own name unless given, and the metrics.

    `kind` is `binary` where a category is given as one probability, of the second of two classes.
    """

    label: Name | None = None
    kind: Kind | None = None
    metrics: tuple[Metric, ...] = ()


class EvaluationView(Part):
    """What is measured of a model, and against which labels. For Evaluate.

    Of a model that no specification describes it is written by hand:

        EvaluationView(
            labels={"tip": CategoryLabel(type="category", column="tip", classes=("no", "yes"))},
            outputs={"tip": EvaluatedOutput(kind="binary", metrics=("accuracy", "auc"))},
            evaluation=Evaluation(thresholds={"tip": {"auc": Threshold(min=0.8)}}),
        )

    Args:
        labels: what is predicted; the feature of the tf.Examples is a label's name, or its column.
        outputs: the outputs of the model that are measured, by their names.
        evaluation: slices, bounds and intervals.
        optional_features: the features that rows may lack, which are slices of their own.
        max_rejected: the largest share of rows without a finite prediction.
        batch_size: how many rows are predicted at once.
        seed: by which rows are drawn for intervals.
    """

    labels: dict[Name, Label] = Field(min_length=1)
    outputs: dict[Name, EvaluatedOutput] = Field(min_length=1)
    evaluation: Evaluation = Evaluation()
    optional_features: tuple[Name, ...] = ()
    max_rejected: Fraction = 0.01
    batch_size: Count = 64
    seed: Whole = 0

    @model_validator(mode="after")
    def _fits_together(self) -> EvaluationView:
        problems = [*self._label_problems(), *self._bound_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _label_problems(self) -> Iterator[str]:
        for name, output in self.outputs.items():
            if self.label_name(name) not in self.labels:
                hint = suggestion(self.label_name(name), self.labels)
                yield f"outputs.{name}: there is no label '{self.label_name(name)}'; {hint}"
                continue
            label, kind = self.label_of(name), self.kind_of(name)
            classes = label.classes if isinstance(label, CategoryLabel) else ()
            if kind != label.type and not (kind == "binary" and len(classes) == 2):
                yield f"outputs.{name}.kind: a label of type {label.type} cannot be {kind}"
            for metric in output.metrics:
                if kind not in METRICS[metric.partition("@")[0]].formulas:
                    yield f"outputs.{name}.metrics: {metric} is no metric of kind {kind}"

    def _bound_problems(self) -> Iterator[str]:
        for key, _, output, metric, _ in self.evaluation.bounds():
            if output not in self.outputs or metric not in self.outputs[output].metrics:
                yield f"{key}: outputs.{output}.metrics does not list it; add it there"

    @classmethod
    def of(cls, given: Fusion | EvaluationView) -> EvaluationView:
        """What an evaluation reads of a specification."""
        if isinstance(given, EvaluationView):
            return given
        return cls(
            labels=labels_in_rows(given.labels),
            outputs={
                name: EvaluatedOutput(
                    label=output.label, kind=given.kind_of(name), metrics=output.metrics
                )
                for name, output in given.outputs.items()
            },
            evaluation=given.evaluation,
            optional_features=tuple(may_be_missing(given.features)),
            max_rejected=given.max_rejected,
            batch_size=given.batch_size,
            seed=given.seed,
        )

    def label_name(self, output: str) -> str:
        """The name of the label that an output predicts."""
        return self.outputs[output].label or output

    def label_of(self, output: str) -> Label:
        """The label that an output predicts."""
        return self.labels[self.label_name(output)]

    def kind_of(self, output: str) -> Kind:
        """What the numbers of an output are."""
        return self.outputs[output].kind or self.label_of(output).type

    def sliced_by(self) -> tuple[tuple[str, ...], ...]:
        """The names that rows are sliced by, those crossed together."""
        return (
            *self.evaluation.sliced_by(),
            *((missing_name(name),) for name in self.optional_features),
        )
