"""A vocabulary that changes after Transform is found before anything is built as wide as it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import Feature, TextFeature


def exported(folder: Path, widths: dict[str, int]) -> str:
    """A function as Transform exports it, whose outputs have some widths."""

    @tf.function(input_signature=[{"row_id": tf.TensorSpec((None,), tf.string)}])
    def transform_fn(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["row_id"])[0]
        return {name: tf.reshape(tf.zeros(rows * n), (-1, n)) for name, n in widths.items()}

    module = tf.Module()
    module.transform_fn = transform_fn.get_concrete_function()
    tf.saved_model.save(module, str(folder))
    return str(folder)


def test_a_vocabulary_of_another_length_is_refused_by_its_path(tmp_path: Path) -> None:
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("[PAD]\nred\ngreen\n")
    features: dict[str, Feature] = {
        "counted": TextFeature(
            type="text", column="t", encoding="multi_hot", vocabulary=vocabulary
        ),
        "numbered": TextFeature(
            type="text", column="t", encoding="ids", vocabulary=vocabulary, length=5
        ),
        "plain": TextFeature(type="text", column="t", encoding="string"),
    }
    path = exported(tmp_path / "graph", {"counted": 3, "numbered": 5})
    TransformGraph(path, features, {})

    vocabulary.write_text("[PAD]\nred\ngreen\nblue\n")

    with pytest.raises(RunError) as caught:
        TransformGraph(path, features, {})
    assert str(caught.value) == (
        f"vocabulary {vocabulary}: the file changed since Transform read it "
        "(3 tokens then, 4 now): run again"
    )
