"""Ids without an embedding, and texts longer than a model takes, are found before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_hub
import pytest
from specs import specification_of
from tiny_tokenizers import BERT, write_vocab_txt

from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.validation.names import specification_problems
from tfx_fusion.modules.validation.validate import graph_problems


def bert(folder: Path, size: int) -> Interface:
    model = keras_hub.models.BertBackbone(
        vocabulary_size=size, num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=4,
        max_sequence_length=16,
    )  # fmt: skip
    model.save(folder / "bert.keras")
    return inspect_submodel(folder / "bert.keras").interface


def specify(folder: Path, length: int = 12, **inputs: str) -> Specification:
    entries = {"token_ids": "words.ids", "padding_mask": "words.mask",
               "segment_ids": "words.segments", **inputs}  # fmt: skip
    words = {
        "type": "text", "column": "said", "length": length,
        "tokenizer": {"type": "wordpiece", "file": str(write_vocab_txt(folder))},
    }  # fmt: skip
    encoder = {"path": str(folder / "bert.keras"), "inputs": entries, "output": "pooled_output"}
    return specification_of(
        features={"words": words},
        labels={"y": {"type": "number", "column": "y"}},
        submodels={"encoder": encoder},
        graph={"y": {"layers": [{"Dense": {"units": 1}}], "inputs": "encoder"}},
        outputs={"y": {"from": "y", "loss": "mean_squared_error"}},
    )


def problems_of(specification: Specification, interface: Interface) -> list[str]:
    _, found = graph_problems(specification, {"encoder": interface})
    return [str(problem) for problem in (*specification_problems(specification), *found)]


@pytest.mark.parametrize("missing", [0, 1])
def test_every_id_of_a_tokenizer_needs_an_embedding(tmp_path: Path, missing: int) -> None:
    interface = bert(tmp_path, len(BERT) - missing)

    found = problems_of(specify(tmp_path), interface)

    last = len(BERT) - 1
    assert found == ([] if not missing else [
        f"submodels.encoder.inputs.token_ids: the model has embeddings of the ids 0 to {last - 1}, "
        f"'words.ids' goes to {last}: give the feature the vocabulary that the model was trained on"
    ])  # fmt: skip


def test_no_more_tokens_than_a_model_has_positions(tmp_path: Path) -> None:
    interface = bert(tmp_path, len(BERT))

    assert problems_of(specify(tmp_path, length=16), interface) == []
    found = problems_of(specify(tmp_path, length=17), interface)
    assert found[0] == (
        "submodels.encoder.inputs.token_ids: the model takes 16 tokens at most, 'words.ids' has "
        "17: write length: 16"
    )


@pytest.mark.parametrize("reference", ["words", "words.tokens"])
def test_a_text_with_a_tokenizer_has_three_outputs(tmp_path: Path, reference: str) -> None:
    interface = bert(tmp_path, len(BERT))

    found = problems_of(specify(tmp_path, token_ids=reference), interface)

    assert found == [
        "submodels.encoder.inputs.token_ids: 'words' has ids, mask, segments: write 'words.ids' or "
        "'words.mask' or 'words.segments'"
    ]


def test_an_input_that_the_chosen_output_does_not_need_is_not_asked_for(tmp_path: Path) -> None:
    text, image = keras.Input((3,), name="text"), keras.Input((2,), name="image")
    towers: dict[str, Any] = {
        "text_vector": keras.layers.Dense(4, name="text_vector")(text),
        "image_vector": keras.layers.Dense(4, name="image_vector")(image),
    }
    keras.Model([text, image], towers).save(tmp_path / "towers.keras")
    interface = inspect_submodel(tmp_path / "towers.keras").interface

    def problems(output: str) -> list[str]:
        vector = {"type": "raw", "column": "a", "dtype": "float32", "shape": [2]}
        tower = {"path": "towers.keras", "inputs": {"image": "a"}, "output": output}
        specification = specification_of(
            features={"a": vector}, submodels={"encoder": tower},
            labels={"y": {"type": "number", "column": "y"}},
            graph={"y": {"layers": [{"Dense": {"units": 1}}], "inputs": "encoder"}},
            outputs={"y": {"from": "y", "loss": "mean_squared_error"}},
        )  # fmt: skip
        return problems_of(specification, interface)

    assert problems("image_vector") == []
    assert problems("text_vector") == [
        "submodels.encoder.inputs: the model's input 'text' (3) float32 is not connected"
    ]
