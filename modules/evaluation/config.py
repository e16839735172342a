"""What the Evaluator measures, as TFMA's EvalConfig."""

from __future__ import annotations

import json
from typing import Any

from tensorflow_model_analysis.proto import config_pb2

from modules.evaluation import metrics as own_metrics
from modules.spec import MultiLabel, Specification
from modules.trainer.export import EXAMPLES_SIGNATURE, LABELS_SIGNATURE
from modules.trainer.losses import is_binary

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


def eval_config(specification: Specification) -> config_pb2.EvalConfig:
    """Metrics, slices and thresholds of a specification.

    Metrics are declared here rather than read from the model, since TFMA would look for them in
    a Keras 2 model.
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
    return config_pb2.EvalConfig(
        model_specs=[model],
        slicing_specs=[config_pb2.SlicingSpec()]
        + [config_pb2.SlicingSpec(feature_keys=[name]) for name in specification.evaluation.slices],
        metrics_specs=[_metrics(specification, name) for name in outputs],
    )


def _metrics(specification: Specification, output: str) -> config_pb2.MetricsSpec:
    several = len(specification.outputs) > 1
    spec = config_pb2.MetricsSpec(output_names=[output] if several else [])
    spec.metrics.add(class_name="ExampleCount")
    thresholds = specification.evaluation.thresholds.get(output, {})
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
        if name in thresholds:
            bounds = thresholds[name]
            value = metric.threshold.value_threshold
            if bounds.min is not None:
                value.lower_bound.value = bounds.min
            if bounds.max is not None:
                value.upper_bound.value = bounds.max
    return spec
