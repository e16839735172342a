"""The exported SavedModel computes from raw rows what one computes by hand.

The oracle recomputes predictions from the raw rows: NumPy and Pillow for the features, the
pretrained models as they were saved, NumPy for the head with the weights found in the export.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from training_runs import Assembled, ClientRows, Trained, predicted_by_hand, sha256

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.export import SPECIFICATION_FILE

pytestmark = pytest.mark.component

CLASSES = ["red", "green", "blue"]


def test_the_served_model_takes_exactly_the_used_features_as_they_stand_in_a_row(
    trained: Trained,
) -> None:
    _, inputs = trained.signature().structured_input_signature

    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in inputs.items()} == {
        "image": ([None], tf.string),
        "words": ([None], tf.string),
    }


def test_the_served_model_answers_probabilities_and_their_classes(
    trained: Trained, raw: ClientRows
) -> None:
    answer = trained.signature()(**raw.request())

    assert set(answer) == {"colour_probabilities", "colour_classes"}
    probabilities = answer["colour_probabilities"].numpy()
    assert probabilities.shape == (len(raw.words), 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-6)
    assert answer["colour_classes"].numpy().tolist() == [[name.encode() for name in CLASSES]] * len(
        raw.words
    )


def test_the_served_model_computes_from_raw_rows_what_one_computes_by_hand(
    trained: Trained, raw: ClientRows, shared_world: Path, tmp_path: Path
) -> None:
    wanted = predicted_by_hand(trained, raw, shared_world, tmp_path)

    given = trained.signature()(**raw.request())["colour_probabilities"]

    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-6)
    # The rows differ, or the comparison would prove little.
    assert np.ptp(wanted, axis=0).max() > 0.01


def test_one_row_is_answered_as_in_a_batch(trained: Trained, raw: ClientRows) -> None:
    serve = trained.signature()
    batch = serve(**raw.request())["colour_probabilities"].numpy()

    alone = serve(image=tf.constant(raw.images[3:4]), words=tf.constant(raw.words[3:4]))

    np.testing.assert_allclose(alone["colour_probabilities"], batch[3:4], rtol=0, atol=1e-6)


def test_examples_are_answered_as_the_raw_rows_they_were_made_from(
    trained: Trained, raw: ClientRows, examples: tf.Tensor
) -> None:
    answer = trained.signature("predict_examples")(examples=examples)

    assert list(answer) == ["colour"]
    np.testing.assert_array_equal(
        answer["colour"], trained.signature()(**raw.request())["colour_probabilities"]
    )


def test_labels_are_as_the_loss_takes_them(
    trained: Trained, raw: ClientRows, examples: tf.Tensor
) -> None:
    answer = trained.signature("transform_labels")(examples=examples)

    assert list(answer) == ["colour"]
    assert answer["colour"].dtype == tf.int64
    assert answer["colour"].numpy().tolist() == raw.classes


def test_the_specification_travels_beside_the_model(
    trained: Trained, specification: Specification
) -> None:
    written = (trained.model / SPECIFICATION_FILE).read_text()

    assert Specification.model_validate_json(written) == specification


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_exported_model_holds_the_frozen_tensors_bit_for_bit(trained: Trained) -> None:
    loaded = tf.saved_model.load(str(trained.model))

    for submodel, digests in trained.history.frozen.items():
        held = [sha256(variable.numpy()) for variable in loaded.frozen[submodel]]
        assert held == list(digests.values())


def test_a_frozen_tensor_that_changes_before_the_export_leaves_no_model_behind(
    assembled: Assembled, tmp_path: Path
) -> None:
    history = assembled.train()
    moved = assembled.move("text", "features_kernel")

    with pytest.raises(RunError) as caught:
        assembled.export(history, tmp_path / "model")

    assert str(caught.value) == f"frozen tensors changed in the exported model: text: {moved}"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_model_of_before_untouched(
    assembled: Assembled, tmp_path: Path
) -> None:
    history = assembled.train()
    assembled.export(history, tmp_path / "model")
    before = {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)}
    assembled.move("text", "features_kernel")

    with pytest.raises(RunError):
        assembled.export(history, tmp_path / "model")

    assert {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)} == before


def test_the_exported_model_is_the_trained_keras_model(
    assembled: Assembled, raw: ClientRows, tmp_path: Path
) -> None:
    history = assembled.train()
    assembled.export(history, tmp_path / "model")
    transformed = assembled.transform(raw.request())
    features = {name: transformed[name] for name in ("image", "words")}

    wanted = assembled.fused.model(features, training=False)["colour"]
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    given = loaded.signatures["serving_default"](**raw.request())["colour_probabilities"]

    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-6)
