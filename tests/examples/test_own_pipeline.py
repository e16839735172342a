"""A pipeline of TFX's own components around this project's, run and compared with plain Keras."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from own_pipeline import SPLITS, OwnPipeline, by_hand, columns, ran, record_of

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def own(shared_folder: Path) -> OwnPipeline:
    return ran(shared_folder)


def test_the_published_model_is_plain_keras_of_the_raw_columns(own: OwnPipeline) -> None:
    loaded = tf.saved_model.load(str(own.published))
    head = {variable.name.split(":")[0]: variable.numpy() for variable in loaded.others}
    records = own.records(SPLITS["eval"])
    rows = [columns(record) for record in records]
    assert len(rows) > 100
    assert any(not row.get("spent") for row in rows)
    expected = by_hand(own, rows, head)

    served = loaded.signatures["serving_default"]
    request = {
        "days": tf.constant([row["days"] for row in rows], tf.int64),
        "visits": tf.constant([row["visits"] for row in rows], tf.int64),
        "spent": tf.constant([row.get("spent") or [np.nan] for row in rows], tf.float32),
        "letter": tf.constant([row["letter"] for row in rows]),
    }
    assert set(served.structured_input_signature[1]) == set(request)
    answer = served(**request)
    np.testing.assert_allclose(answer["left_probabilities"], expected, atol=1e-5)
    assert answer["left_classes"][0].numpy().tolist() == [b"no", b"yes"]

    unlabelled = [
        record_of({name: values for name, values in row.items() if name != "left"}) for row in rows
    ]
    found = loaded.signatures["predict_examples"](examples=tf.constant(unlabelled))["left"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    labels = loaded.signatures["transform_labels"](examples=tf.constant(records))["left"]
    assert labels.numpy().tolist() == [int(row["left"] == [b"yes"]) for row in rows]
    # It has learned something, and the stock Evaluator has seen the same.
    right = float(np.mean(expected.argmax(axis=1) == labels))
    assert right > 0.8


def test_the_pipeline_compiles_for_kubeflow(own: OwnPipeline) -> None:
    compiled = json.loads((own.folder / "compiled.json").read_text())
    tasks = compiled["pipelineSpec"]["root"]["dag"]["tasks"]

    assert {"CsvExampleGen", "Import-account", "Import-letters", "Embed", "Train"} <= tasks.keys()
    fed = tasks["Train"]["inputs"]["artifacts"]
    assert fed["embeddings_0"]["taskOutputArtifact"]["producerTask"] == "Embed"
