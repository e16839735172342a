"""What the Evaluator measures, as TFMA's EvalConfig."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from tfx_fusion.modules.evaluation import metrics as own_metrics
from tfx_fusion.modules.spec import CategoryLabel, MultiLabel, Specification, Threshold
from tfx_fusion.modules.training.export import EXAMPLES_SIGNATURE, LABELS_SIGNATURE
from tfx_fusion.modules.training.losses import is_binary

# TFMA finds these classes by name, in Keras and in itself; those of ours by their module.
METRICS: dict[str, tuple[str, dict[str, Any]]] = {
    "accuracy": ("SparseCategoricalAccuracy", {}),
    "top_3_accuracy": ("SparseTopKCategoricalAccuracy", {"k": 3}),
    "auc": ("AUC", {}),
    "precision": ("PrecisionOrZero", {}),
    "recall": ("RecallOrZero", {}),
    "mean_squared_error": ("MeanSquaredError", {}),
    "mean_absolute_error": ("MeanAbsoluteError", {}),
    "root_mean_squared_error": ("RootMeanSquaredError", {}),
}


CANDIDATE, CHAMPION = tfma.CANDIDATE_KEY, tfma.BASELINE_KEY


def eval_config(specification: Specification, baseline: bool = False) -> config_pb2.EvalConfig:
    """Metrics, slices and thresholds of a specification.

    Metrics are declared here rather than read from the model, since TFMA would look for them in
    a Keras 2 model. With a baseline, the champion is measured beside the candidate, and their
    difference is bounded as well.
    """
    outputs = list(specification.outputs)
    model = config_pb2.ModelSpec(
        model_type="tf_generic",
        signature_name=EXAMPLES_SIGNATURE,
        preprocessing_function_names=[LABELS_SIGNATURE],
    )
    if len(outputs) == 1:
        model.label_key = specification.label_name(outputs[0])
        model.prediction_key = outputs[0]
    else:
        for name in outputs:
            model.label_keys[name] = specification.label_name(name)
    models = [model]
    if baseline:
        models = [config_pb2.ModelSpec(), config_pb2.ModelSpec()]
        for copy, name in zip(models, (CANDIDATE, CHAMPION), strict=True):
            copy.CopyFrom(model)
            copy.name, copy.is_baseline = name, name == CHAMPION
    sliced = specification.sliced_by()
    return config_pb2.EvalConfig(
        model_specs=models,
        slicing_specs=[config_pb2.SlicingSpec()]
        + [config_pb2.SlicingSpec(feature_keys=names) for names in sliced],
        metrics_specs=[_metrics(specification, name, baseline) for name in outputs],
    )


def _metrics(specification: Specification, output: str, baseline: bool) -> config_pb2.MetricsSpec:
    several = len(specification.outputs) > 1
    spec = config_pb2.MetricsSpec(output_names=[output] if several else [])
    spec.metrics.add(class_name="ExampleCount")
    label = specification.label_of(output)
    for name in specification.outputs[output].metrics:
        class_name, config = METRICS[name]
        if name == "accuracy" and is_binary(specification, output):
            class_name = "BinaryAccuracy"
        if name == "auc" and isinstance(label, MultiLabel):
            class_name, config = "MultiLabelAUC", {"classes": len(label.classes)}
        module = own_metrics.__name__ if hasattr(own_metrics, class_name) else ""
        metric = spec.metrics.add(
            class_name=class_name, module=module, config=json.dumps({**config, "name": name})
        )
        for _, where, bounded, bounded_metric, threshold in specification.evaluation.bounds():
            if (bounded, bounded_metric) == (output, name):
                # Not as a plain threshold: TFMA checks such a one in every slice.
                metric.per_slice_thresholds.extend(
                    config_pb2.PerSliceMetricThreshold(
                        slicing_specs=[_slicing(specification, where)], threshold=bound
                    )
                    for bound in _bounds(threshold, baseline)
                )
    return spec


def _bounds(threshold: Threshold, baseline: bool) -> Iterator[config_pb2.MetricThreshold]:
    """A threshold in TFMA's words; of a change, it bounds one direction at a time."""
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


def _slicing(
    specification: Specification, where: Mapping[str, str | None]
) -> config_pb2.SlicingSpec:
    """A slice in TFMA's words: a label is known to it by the class's place."""
    return config_pb2.SlicingSpec(
        feature_keys=[name for name, value in where.items() if value is None],
        feature_values={
            name: stored_value(specification, name, value)
            for name, value in where.items()
            if value is not None
        },
    )


def stored_value(specification: Specification, name: str, value: str) -> str:
    """What TFMA calls a value that rows are sliced by."""
    label = specification.labels.get(name)
    return str(label.classes.index(value)) if isinstance(label, CategoryLabel) else value


def shown_value(specification: Specification, name: str, value: Any) -> str:
    """What people call a value that TFMA sliced by."""
    label = specification.labels.get(name)
    return label.classes[int(value)] if isinstance(label, CategoryLabel) else str(value)
