"""Metrics that TFMA lacks, or that it computes otherwise than Keras: here they are Keras's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import confusion_matrix_metrics, metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from tfx_fusion.modules.evaluation.measures import THRESHOLDS, area, reached


class PrecisionOrZero(confusion_matrix_metrics.Precision):
    """The share of the yeses given that are right; 0 where none is given, in TFMA's own NaN."""

    def result(self, tp: float, tn: float, fp: float, fn: float) -> float:
        return tp / (tp + fp) if tp + fp else 0.0


class RecallOrZero(confusion_matrix_metrics.Recall):
    """The share of the true yeses that are found; 0 where there is none, in TFMA's own NaN."""

    def result(self, tp: float, tn: float, fp: float, fn: float) -> float:
        return tp / (tp + fn) if tp + fn else 0.0


class MultiLabelAUC(metric_types.Metric):
    """The mean of the classes' areas under the ROC, as `keras.metrics.AUC(multi_label=True)`.

    TFMA's own AUC takes all classes for one. Its macro average would rank by a histogram that
    does not end at Keras's thresholds.
    """

    def __init__(self, classes: int, name: str) -> None:
        super().__init__(
            metric_util.merge_per_key_computations(_computations), classes=classes, name=name
        )


def _computations(
    classes: int,
    name: str,
    eval_config: config_pb2.EvalConfig | None = None,
    model_name: str = "",
    output_name: str = "",
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(
        name=name,
        model_name=model_name,
        output_name=output_name,
        example_weighted=example_weighted,
    )
    combiner = _RankCombiner(key, classes, eval_config)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class _RankCombiner(beam.CombineFn):
    """Counts by class and by the threshold reached: `(no or yes, classes, THRESHOLDS)`."""

    def __init__(
        self,
        key: metric_types.MetricKey,
        classes: int,
        eval_config: config_pb2.EvalConfig | None,
    ) -> None:
        self._key, self._classes, self._eval_config = key, classes, eval_config

    def create_accumulator(self) -> np.ndarray:
        return np.zeros((2, self._classes, THRESHOLDS))

    def add_input(
        self, counts: np.ndarray, element: metric_types.StandardMetricInputs
    ) -> np.ndarray:
        [(labels, chances, _)] = metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            flatten=False,
        )
        counts[labels.astype(int), np.arange(self._classes), reached(chances)] += 1
        return counts

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return np.sum(list(accumulators), axis=0)

    def extract_output(self, counts: np.ndarray) -> dict[metric_types.MetricKey, Any]:
        return {self._key: area(counts)}
