"""The files of a tokenizer belong to the key of the Transform step, as those of a vocabulary do."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from tiny_tokenizers import write_vocab_txt

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.spec import TextFeature


def test_a_tokenizer_that_changes_after_the_run_began_is_not_used(tmp_path: Path) -> None:
    tokenizer = {"type": "wordpiece", "file": str(write_vocab_txt(tmp_path))}
    words = TextFeature.model_validate(
        {"type": "text", "column": "a", "tokenizer": tokenizer, "length": 8}
    )
    before = transform_config({"words": words}, {})
    write_vocab_txt(tmp_path, "other")

    assert transform_config({"words": words}, {}) != before
    raw = {"words": tf.constant(["red"]), "row_id": tf.constant(["1"])}
    with pytest.raises(RunError, match=r"vocab.txt: the file changed since the run began"):
        preprocessing_fn(raw, before)
