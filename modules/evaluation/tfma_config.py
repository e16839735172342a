"""What TFMA measures: the metrics of a specification by slice, on predictions already computed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from tfx_fusion.modules.evaluation.metrics import measure
from tfx_fusion.modules.evaluation.predictions import CANDIDATE, CHAMPION, label_key, prediction_key
from tfx_fusion.modules.metrics.table import Kind, formula
from tfx_fusion.modules.spec import Threshold
from tfx_fusion.modules.spec.evaluated import Evaluated
from tfx_fusion.modules.training.export import EXAMPLES_SIGNATURE, LABELS_SIGNATURE

# TFMA's names of the models that `predictions` calls candidate and champion.
MODELS = {CANDIDATE: tfma.CANDIDATE_KEY, CHAMPION: tfma.BASELINE_KEY}
# Rows that are summed at once: each by itself would take ten times longer.
SUMMED_ROWS = 256


def eval_config(specification: Evaluated, baseline: bool = False) -> config_pb2.EvalConfig:
    """Metrics, slices and thresholds of a specification, for TFX's own Evaluator.

    It asks an exported model of this project for predictions and labels by its signatures; so it
    does a `baseline`, which must be one too, and the change from it is bounded then. Intervals and
    the margins of an ablation are FusionEvaluator's only.

        Evaluator(examples=…, model=…, baseline_model=…, eval_config=eval_config(spec, True))
    """

    def asked(name: str) -> config_pb2.ModelSpec:
        spec = config_pb2.ModelSpec(
            signature_name=EXAMPLES_SIGNATURE, preprocessing_function_names=[LABELS_SIGNATURE]
        )
        labels = {output: specification.label_name(output) for output in specification.outputs}
        return _with_keys(spec, labels, {})

    return _config(specification, baseline, asked)


def predictions_config(specification: Evaluated, baseline: bool = False) -> config_pb2.EvalConfig:
    """The same for FusionEvaluator: TFMA reads the rows that `write_predictions` wrote.

    With a baseline, the champion is measured beside the candidate, and their difference is bounded
    as well.
    """

    def written(name: str) -> config_pb2.ModelSpec:
        spec = config_pb2.ModelSpec(model_type="materialized_prediction")
        return _with_keys(
            spec,
            {output: label_key(output) for output in specification.outputs},
            {output: prediction_key(name, output) for output in specification.outputs},
        )

    return _config(specification, baseline, written)


def _config(
    specification: Evaluated, baseline: bool, model: Callable[[str], config_pb2.ModelSpec]
) -> config_pb2.EvalConfig:
    specs = []
    for name in [CANDIDATE, CHAMPION] if baseline else [CANDIDATE]:
        spec = model(name)
        if baseline:
            spec.name, spec.is_baseline = MODELS[name], name == CHAMPION
        specs.append(spec)
    return config_pb2.EvalConfig(
        model_specs=specs,
        slicing_specs=[config_pb2.SlicingSpec()]
        + [config_pb2.SlicingSpec(feature_keys=names) for names in specification.sliced_by()],
        metrics_specs=[_metrics(specification, name, baseline) for name in specification.outputs],
    )


def _with_keys(
    spec: config_pb2.ModelSpec, labels: Mapping[str, str], predictions: Mapping[str, str]
) -> config_pb2.ModelSpec:
    """With the features of labels and predictions, by output; TFMA wants one without its name."""
    if len(labels) == 1:
        [spec.label_key] = labels.values()
        spec.prediction_key = next(iter(predictions.values()), "")
    else:
        spec.label_keys.update(labels)
        spec.prediction_keys.update(predictions)
    return spec


def _metrics(specification: Evaluated, output: str, baseline: bool) -> config_pb2.MetricsSpec:
    several = len(specification.outputs) > 1
    spec = config_pb2.MetricsSpec(output_names=[output] if several else [])
    spec.metrics.add(class_name="ExampleCount")
    kind = specification.kind_of(output)
    for name in specification.outputs[output].metrics:
        # TFMA finds the class by its module and makes it anew in each process.
        metric = spec.metrics.add(
            class_name=SpecificationMetric.__name__,
            module=__name__,
            config=json.dumps({"name": name, "kind": kind}),
        )
        for _, where, bounded, bounded_metric, threshold in specification.evaluation.bounds():
            if (bounded, bounded_metric) == (output, name):
                # Not as a plain threshold: TFMA checks such a one in every slice.
                metric.per_slice_thresholds.extend(
                    config_pb2.PerSliceMetricThreshold(
                        slicing_specs=[_slicing(where)], threshold=bound
                    )
                    for bound in _bounds(threshold, baseline)
                )
    return spec


def _bounds(threshold: Threshold, baseline: bool) -> Iterator[config_pb2.MetricThreshold]:
    """A threshold as TFMA has it; of a change, it bounds one direction at a time."""
    bound = config_pb2.MetricThreshold()
    if threshold.min is not None:
        bound.value_threshold.lower_bound.value = threshold.min
    if threshold.max is not None:
        bound.value_threshold.upper_bound.value = threshold.max
    if bound.HasField("value_threshold"):
        yield bound
    change = threshold.change if baseline else None
    for limit, direction in (
        (change and change.min, config_pb2.MetricDirection.HIGHER_IS_BETTER),
        (change and change.max, config_pb2.MetricDirection.LOWER_IS_BETTER),
    ):
        if limit is not None:
            bound = config_pb2.MetricThreshold()
            bound.change_threshold.absolute.value = limit
            bound.change_threshold.direction = direction
            yield bound


def _slicing(where: Mapping[str, str | None]) -> config_pb2.SlicingSpec:
    return config_pb2.SlicingSpec(
        feature_keys=[name for name, value in where.items() if value is None],
        feature_values={name: value for name, value in where.items() if value is not None},
    )


class SpecificationMetric(metric_types.Metric):
    """A metric of `metrics` as TFMA computes it: each row adds to totals, which give the value."""

    def __init__(self, name: str, kind: Kind) -> None:
        """`name` is the metric's in a specification, `kind` what the numbers of the output are."""
        super().__init__(
            metric_util.merge_per_key_computations(_computations), name=name, kind=kind
        )


def _computations(
    name: str,
    kind: Kind,
    eval_config: config_pb2.EvalConfig | None = None,
    model_name: str = "",
    output_name: str = "",
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(
        name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted
    )
    combiner = _Totals(key, kind, eval_config)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


@dataclass
class _Sum:
    """Totals of some rows, None of no row, and those not yet summed."""

    totals: Any = None
    labels: list[np.ndarray] = field(default_factory=list)
    predictions: list[np.ndarray] = field(default_factory=list)


class _Totals(beam.CombineFn):
    def __init__(
        self, key: metric_types.MetricKey, kind: Kind, eval_config: config_pb2.EvalConfig | None
    ) -> None:
        self._key, self._kind, self._eval_config = key, kind, eval_config

    def create_accumulator(self) -> _Sum:
        return _Sum()

    def add_input(self, found: _Sum, element: metric_types.StandardMetricInputs) -> _Sum:
        [(label, prediction, _)] = metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            flatten=False,
        )
        found.labels.append(label)
        found.predictions.append(prediction)
        return self.compact(found) if len(found.labels) >= SUMMED_ROWS else found

    def compact(self, found: _Sum) -> _Sum:
        if not found.labels:
            return found
        rows = measure(
            self._kind, self._key.name, np.stack(found.labels), np.stack(found.predictions)
        )
        added = rows.totals(np.ones(len(found.labels)))
        return _Sum(added if found.totals is None else found.totals + added)

    def merge_accumulators(self, accumulators: Iterable[_Sum]) -> _Sum:
        summed = [self.compact(found).totals for found in accumulators]
        some = [totals for totals in summed if totals is not None]
        return _Sum(sum(some[1:], some[0]) if some else None)

    def extract_output(self, accumulator: _Sum) -> dict[metric_types.MetricKey, Any]:
        totals = self.compact(accumulator).totals
        value = formula(self._kind, self._key.name).value
        return {self._key: float("nan") if totals is None else float(value(totals))}
