"""The training record as event files that TensorBoard reads.

Event files are TFRecords of the protocol buffer `Event`. Written as such they need no `tensorboard`
package, which `tf.summary` asks for, and no graph mode, which `tf.compat.v1.summary` asks for.
"""

import time
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.files import whole_folder
from tfx_fusion.modules.training.curves import quantities

RUNS = ("train", "eval")


def write_logs(stages: list[dict[str, Any]], folder: Path) -> None:
    """Writes the `stages` of a training record into `folder`, as the runs `train` and `eval`.

    Both have the same tags, so that TensorBoard shows them in one chart. Steps are epochs, from 1
    through all stages. What the two runs held before is replaced.
    """
    now = time.time()
    times = _wall_times(stages, now)
    values: dict[str, dict[int, dict[str, float]]] = {run: {} for run in RUNS}
    for name, runs in quantities(stages).items():
        for run, points in runs.items():
            for epoch, value in points.items():
                values[run].setdefault(epoch, {})[name] = value
    for run, epochs in values.items():
        with whole_folder(folder / run) as aside:
            # TensorBoard knows event files by the middle of their names.
            path = aside / f"events.out.tfevents.{int(now)}.fusion"
            with tf.io.TFRecordWriter(str(path)) as writer:
                first = times[0] if times else now
                writer.write(_event(first, file_version="brain.Event:2"))
                for epoch, logged in sorted(epochs.items()):
                    summary = tf.compat.v1.Summary(
                        value=[
                            tf.compat.v1.Summary.Value(tag=name, simple_value=value)
                            for name, value in logged.items()
                        ]
                    )
                    writer.write(_event(times[epoch - 1], step=epoch, summary=summary))


def _event(wall_time: float, **content: Any) -> bytes:
    return tf.compat.v1.Event(wall_time=wall_time, **content).SerializeToString()


def _wall_times(stages: list[dict[str, Any]], end: float) -> list[float]:
    """When each epoch ended, as if training had ended at `end`: a stage's are of one length."""
    times: list[float] = []
    began = end - sum(stage["seconds"] for stage in stages)
    for stage in stages:
        count = len(stage["epochs"])
        times += [began + stage["seconds"] * (number + 1) / count for number in range(count)]
        began += stage["seconds"]
    return times
