"""A pipeline of TFX's own components in which ours judge and publish, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from own_pipeline import SPLITS, by_hand, columns, ran

from tfx_fusion.modules.evaluation.quality import read_quality
from tfx_fusion.modules.registry.version_record import read_version_record

pytestmark = pytest.mark.end_to_end


def test_our_components_judge_and_publish_what_plain_keras_gives(shared_folder: Path) -> None:
    from tfx_fusion.modules.registry.lineage import lineages

    own = ran(shared_folder, "judge", "runs/judged")
    loaded = tf.saved_model.load(str(own.published))
    head = {variable.name.split(":")[0]: variable.numpy() for variable in loaded.others}
    records = own.records(SPLITS["eval"])
    rows = [columns(record) for record in records]
    expected = by_hand(own, rows, head)

    given = {
        "days": tf.constant([row["days"] for row in rows], tf.int64),
        "visits": tf.constant([row["visits"] for row in rows], tf.int64),
        "spent": tf.constant([row.get("spent") or [np.nan] for row in rows], tf.float32),
        "letter": tf.constant([row["letter"] for row in rows]),
    }
    answer = loaded.signatures["serving_default"](**given)
    np.testing.assert_allclose(answer["left_probabilities"], expected, atol=1e-5)

    # What was measured is what NumPy measures.
    truth = np.array([int(row["left"] == [b"yes"]) for row in rows])
    quality = read_quality(own.artifact("FusionEvaluator", "evaluation"))
    [line] = quality.lines
    assert line.rows == len(rows)
    assert line.value == pytest.approx((expected.argmax(axis=1) == truth).mean())
    assert [bound.met for bound in line.bounds] == [True, None]
    assert quality.skipped == ("left.accuracy: change not checked: no published model yet",)

    # What was checked in a server is what was published, with its warm-up requests.
    assert (own.published / "assets.extra" / "tf_serving_warmup_requests").is_file()
    blessing = own.artifact("ServingCheck", "blessing")
    check = json.loads((blessing / "serving_check.json").read_text())
    assert (check["rows"], check["problems"]) == (32, [])

    # The record says what the model came from, and so does ML Metadata.
    record = read_version_record(own.published)
    assert record is not None
    assert record.data.path == str(own.folder / "data" / "csv")
    assert record.data.fingerprint.startswith("split:single_split,num_files:1,total_bytes:")
    [span] = record.data.spans
    assert (span.uri, span.span) == (str(own.examples), 0)
    assert record.gates.evaluation["thresholds"]["left"]["accuracy"]["min"] == 0.7
    assert set(record.submodels) == {"account", "letters"}
    assert (own.published / "assets.extra" / "statistics.pb").is_file()
    runs = own.folder / own.runs
    [lineage] = lineages(runs / "serving", runs / "metadata.sqlite").known.values()
    assert lineage.recorded_in == "ML Metadata"
    assert (lineage.data, lineage.run, lineage.metrics) == (record.data, record.run, record.metrics)

    # TFX's own compiler takes the same pipeline.
    compiled = json.loads((own.folder / "compiled.json").read_text())["pipelineSpec"]
    tasks = compiled["root"]["dag"]["tasks"]
    assert {"DataGate", "FusionEvaluator", "ServingCheck", "VersionPusher"} <= tasks.keys()
