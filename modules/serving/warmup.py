"""Warm-up requests beside a model, in the form that TF Serving reads and answers when it loads it.

A TFRecord of PredictionLog in `assets.extra` (TF Serving's guide "SavedModel Warmup").
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST = 1000  # TF Serving refuses a model with more


def write_warmup(version: Path, requests: Iterable[predict_pb2.PredictRequest]) -> None:
    """Writes warm-up requests into a version folder."""
    file = version / WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            # The same rows make the same file: a model is known by the digest of its files.
            writer.write(log.SerializeToString(deterministic=True))


def read_warmup(version: Path) -> list[predict_pb2.PredictRequest]:
    """The warm-up requests in a version folder; logs of other kinds are passed over."""
    file = version / WARMUP_FILE
    if not file.is_file():
        return []
    records = tf.data.TFRecordDataset(str(file)).take(MOST).as_numpy_iterator()
    logs = map(prediction_log_pb2.PredictionLog.FromString, records)
    return [log.predict_log.request for log in logs if log.HasField("predict_log")]
