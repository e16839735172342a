"""Several outputs on tabular data and a sequence, from Parquet and from TFRecords."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from fusion_command import fusion
from odd_paths import ODD

from tfx_fusion.pipeline.commands.predict import predict

pytestmark = pytest.mark.end_to_end
ROWS = 120

SPECIFICATION = """\
name: tabular
data: {path: rows.parquet, split: {by: id, train: 0.7, eval: 0.3}}
features:
  numbers: {type: number, columns: [a, b], normalize: standard}
  city: {type: category, column: city, classes: [oslo, bergen]}
  kind: {type: category, column: kind, classes: [x, y, z]}
  steps: {type: sequence, column: steps, shape: [4, 2]}
labels:
  high: {type: category, column: high, classes: ["no", "yes"]}
  total: {type: number, column: total}
  tags: {type: multi_label, column: tags, classes: [far, even, small]}
graph:
  read: {layers: [LSTM: {units: 4}], inputs: steps}
  joined: {merge: concatenate, inputs: [numbers, city, read]}
  hidden: {layers: [Dense: {units: 16, activation: relu}], inputs: joined}
  high: {layers: [Dense: {units: 1}], inputs: hidden}
  total: {layers: [Dense: {units: 1}], inputs: hidden}
  tags: {layers: [Dense: {units: 3}], inputs: hidden}
outputs:
  high: {from: high, loss: binary_crossentropy, metrics: [accuracy, auc], class_weights: balanced}
  total: {from: total, loss: mean_squared_error, metrics: [mean_absolute_error], weight: 0.5}
  tags: {from: tags, loss: binary_crossentropy, metrics: [accuracy, auc, precision, recall]}
training:
  stages: [{name: head, epochs: 20, learning_rate: 1e-2}]
evaluation:
  slices: [kind, high, [kind, high]]
  confidence: 0.9
  worth: {margin: {total: {mean_absolute_error: 0.1}}}
  slice_thresholds: [{slice: {high: "yes"}, thresholds: {total: {mean_absolute_error: {max: 9}}}}]
  thresholds:
    high: {auc: {min: 0.6}}
    total: {mean_absolute_error: {max: 5}}
    tags: {auc: {min: 0.6}, precision: {min: 0.5}}
publish: {path: serving}
"""
WORTH = "  worth: {margin: {total: {mean_absolute_error: 0.1}}}\n"


def make_rows() -> dict[str, Any]:
    random = np.random.default_rng(0)
    a, b = random.normal(3, 2, ROWS), random.normal(0, 1, ROWS)
    total = 2 * a + b
    has = {"far": a > 4, "even": np.arange(ROWS) % 2 == 0, "small": b < 0}
    return {
        "id": list(range(ROWS)),
        "a": a.tolist(),
        "b": b.tolist(),
        "city": random.choice(["oslo", "bergen"], ROWS).tolist(),
        "kind": random.choice(["x", "y", "z"], ROWS).tolist(),
        "steps": random.normal(size=(ROWS, 4, 2)).tolist(),
        "total": total.tolist(),
        "high": np.where(total > 6, "yes", "no").tolist(),
        "tags": [[tag for tag in has if has[tag][row]] for row in range(ROWS)],
    }


def write_records(rows: dict[str, Any], path: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for position in range(ROWS):
            example = tf.train.Example()
            for name, values in rows.items():
                feature, value = example.features.feature[name], values[position]
                if isinstance(value, str):
                    feature.bytes_list.value.append(value.encode())
                elif isinstance(value, int):
                    feature.int64_list.value.append(value)
                elif name == "tags":
                    feature.bytes_list.SetInParent()  # a list of none is a list too
                    feature.bytes_list.value.extend(tag.encode() for tag in value)
                else:
                    feature.float_list.value.extend(np.ravel(value).tolist())
            writer.write(example.SerializeToString())


def run(folder: Path, specification: str) -> dict[str, Any]:
    (folder / "fusion.yaml").write_text(specification)
    done = fusion("run", "fusion.yaml", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(max(folder.glob("runs/*/run.json")).read_text())


def test_both_formats_train_the_same_model_of_three_outputs(tmp_path: Path) -> None:
    """In a folder of an odd name, behind a link of another."""
    (tmp_path / ODD).mkdir()
    (tmp_path / "a link").symlink_to(ODD)
    tmp_path = tmp_path / "a link"
    rows = make_rows()
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet", row_group_size=50)
    write_records(rows, tmp_path / "rows.tfrecord")

    parquet = run(tmp_path, SPECIFICATION)
    records = run(
        tmp_path, SPECIFICATION.replace("rows.parquet", "rows.tfrecord").replace(WORTH, "")
    )

    metrics = parquet["metrics"]
    assert set(metrics) == {"high", "total", "tags"}
    assert metrics["high"]["auc"] > 0.9
    assert metrics["total"]["mean_absolute_error"] < 2  # 3.3 by the mean alone
    assert metrics["tags"]["auc"] > 0.7  # no feature depends on it for `even`
    assert 0.5 < metrics["tags"]["recall"] < 1
    rejected = json.loads(max(tmp_path.glob("runs/*/run.json")).read_text())["rejected"]
    assert rejected["rows"] == 0
    assert {"Rows", "Train"} <= {s["name"] for s in records["steps"] if s["status"] == "done"}
    for output, values in metrics.items():
        for name, value in values.items():
            assert records["metrics"][output][name] == pytest.approx(value, abs=1e-5)

    lines = {(item["output"], item["metric"], item["of"], *item["slice"].items()): item
             for item in parquet["quality"]["lines"]}  # fmt: skip
    error = "total", "mean_absolute_error"
    value, low, high = (lines[*error, ""]["value"], *lines[*error, ""]["interval"])
    assert low < value < high
    [bound] = lines[*error, "", ("high", "yes")]["bounds"]
    assert (bound["text"], bound["met"]) == ("≤ 9", True)
    assert lines["high", "auc", "", ("kind", "x")]["rows"] < lines["high", "auc", ""]["rows"]
    assert ("high", "auc", "", ("high", "no"), ("kind", "z")) in lines
    # The number is made of `numbers` alone: without it the fusion knows nothing.
    assert lines[*error, "without numbers"]["value"] > lines[*error, "without city"]["value"]
    assert lines[*error, "numbers alone"]["value"] < lines[*error, "city alone"]["value"]
    for output in metrics:
        assert any(key[0] == output and key[2] == "read alone" for key in lines)

    page = Path(parquet["report"]).read_text()
    assert "This section could not be made" not in page
    for picture in ("Confusion matrix of high", "Residuals of total", "Classes of tags"):
        assert f'alt="{picture}' in page

    from tfx_fusion.modules.serving.published import PublishedModel

    model = PublishedModel(Path(records["published"]))
    labels = ("high", "total", "tags")
    first = {name: values[0] for name, values in rows.items() if name not in labels}
    [answer] = model.predict([("row 1", first)], tmp_path)
    assert set(answer.outputs["high"]) == {"no", "yes"}
    assert sum(answer.outputs["high"].values()) == pytest.approx(1)
    assert answer.outputs["total"] == pytest.approx(rows["total"][0], abs=2)
    assert set(answer.outputs["tags"]) == {"far", "even", "small"}

    arguments = [str(tmp_path / "serving"), str(tmp_path / "rows.parquet"), "--rows", "3"]
    printed = CliRunner().invoke(predict, arguments)
    as_json = CliRunner().invoke(predict, [*arguments, "--json"])
    assert (printed.exit_code, as_json.exit_code) == (0, 0)
    lines = printed.stdout.splitlines()[1:]
    for line, row in zip(lines, map(json.loads, as_json.stdout.splitlines()), strict=True):
        assert set(row["tags"]) == {"far", "even", "small"}
        for tag, chance in row["tags"].items():
            assert (f"{tag} ({chance:.3f})" in line) == (chance > 0.5)
