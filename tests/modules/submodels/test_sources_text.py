"""Presets that take raw text. The oracles are KerasHub's preprocessing outside of a graph, Hugging
Face's `tokenizers`, and the backbones that wrote the presets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from fuzzed_text import fuzzed_texts
from tiny_tokenizers import BERT, write_bpe, write_spiece, write_vocab_txt
from tokenizers import Tokenizer as HuggingFace
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.spec.tokenizer import Tokenizer, read_tokenizer
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.submodels.sources import write_model

models = keras_hub.models
LENGTH = 24
SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
# Of pieces with equal scores each version of SentencePiece takes another.
TEXTS = [text.replace("ⅷ", "").replace("\0", "") for text in fuzzed_texts(seed=5, count=150)]


def bert(folder: Path) -> tuple[Any, Any, Any]:
    return models.BertBackbone, models.BertTokenizer(list(BERT), lowercase=True), len(BERT)


def roberta(folder: Path) -> tuple[Any, Any, Any]:
    vocabulary, merges = write_bpe(folder)
    words = json.loads(vocabulary.read_text())
    tokenizer = models.RobertaTokenizer(words, merges.read_text().splitlines()[1:])
    return models.RobertaBackbone, tokenizer, len(words)


def albert(folder: Path) -> tuple[Any, Any, Any]:
    tokenizer = models.AlbertTokenizer(write_spiece(folder).read_bytes())
    return models.AlbertBackbone, tokenizer, tokenizer.vocabulary_size()


def made(folder: Path, preset: Path, *texts: str, **keys: Any) -> SubmodelLayer:
    """The preset with its tokenizer as a layer from texts, written and read back."""
    config = {"sequence_length": LENGTH, **keys.pop("config", {})}
    inputs = dict.fromkeys(texts, "words")
    write_model(
        Submodel(preset=str(preset), inputs=inputs, config=config, **keys), folder / "made.keras"
    )
    interface = inspect_submodel(folder / "made.keras").interface
    assert {name: str(info) for name, info in interface.inputs.items()} == dict.fromkeys(
        texts, "() string"
    )
    wanted = {"pooled_output", "embedding"} & set(interface.outputs) or set(interface.outputs)
    return SubmodelLayer(folder / "made.keras", sorted(wanted)[:1], None, "text")


def answers(layer: SubmodelLayer, **texts: list[str]) -> np.ndarray:
    traced = tf.function(lambda given: layer(given), autograph=False)
    [value] = traced({name: tf.constant(given) for name, given in texts.items()}).values()
    return value.numpy()


def preprocessed(
    preset: Path, tokenizer: Any, family: Callable[[Path], Any], *texts: list[str]
) -> dict[str, np.ndarray]:
    """What a backbone takes of one text or two, made outside of a graph."""
    if family is not roberta:
        kind = models.TextClassifierPreprocessor
        preprocess = kind.from_preset(str(preset), sequence_length=LENGTH)
        return preprocess(texts[0] if len(texts) == 1 else texts, None)
    # Outside of a graph KerasHub splits by another pattern than that RoBERTa was trained with.
    merges = [tuple(merge.split()) for merge in tokenizer.merges]
    whole = HuggingFace(BPE(dict(tokenizer.vocabulary), merges))
    whole.pre_tokenizer = ByteLevel(add_prefix_space=False)
    whole.add_special_tokens(list(tokenizer.unsplittable_tokens))
    packer = keras_hub.layers.MultiSegmentPacker(
        LENGTH, start_value=0, end_value=2, sep_value=[2, 2], pad_value=1
    )
    ids, _ = packer(tuple([item.ids for item in whole.encode_batch(given)] for given in texts))
    return {"token_ids": np.asarray(ids), "padding_mask": np.asarray(ids) != 1}


@pytest.mark.parametrize("family", [bert, roberta, albert])
def test_raw_text_is_answered_as_by_preprocessing_and_backbone(
    family: Callable[[Path], Any], tmp_path: Path
) -> None:
    backbone_class, tokenizer, size = family(tmp_path)
    sizes = {**SIZES, "vocabulary_size": size, "max_sequence_length": LENGTH}
    if family is albert:
        sizes["embedding_dim"] = 4
    backbone = backbone_class(**sizes)
    draw = np.random.default_rng(4)
    backbone.set_weights([draw.normal(0, 0.5, weight.shape) for weight in backbone.weights])
    preset = tmp_path / "preset"
    backbone.save_to_preset(str(preset))
    tokenizer.save_to_preset(str(preset))

    def expected(*texts: list[str]) -> np.ndarray:
        found = backbone(preprocessed(preset, tokenizer, family, *texts))
        return np.asarray(found["pooled_output"] if isinstance(found, dict) else found)

    one = answers(made(tmp_path, preset, "text"), text=TEXTS)
    two = answers(made(tmp_path, preset, "text", "text_pair"), text=TEXTS, text_pair=TEXTS[::-1])

    np.testing.assert_allclose(one, expected(TEXTS), atol=1e-5)
    np.testing.assert_allclose(two, expected(TEXTS, TEXTS[::-1]), atol=1e-5)


def write_sentence_embedder(folder: Path, pooling: str, normalize: bool) -> Path:
    """A sentence embedder in the layout of Hugging Face, with weights drawn at random."""
    folder.mkdir()
    file = write_vocab_txt(folder)
    contents = read_tokenizer(Tokenizer(type="wordpiece", file=file))
    (folder / "tokenizer.json").write_text(json.dumps(contents.content))
    draw = np.random.default_rng(2)

    def weights(prefix: str, *shape: int, bias: bool = True) -> dict[str, np.ndarray]:
        given = {f"{prefix}.weight": draw.normal(0, 0.5, shape).astype("float32")}
        if bias:
            given[f"{prefix}.bias"] = draw.normal(0, 0.5, shape[:1]).astype("float32")
        return given

    layer = "encoder.layer.0"
    tensors = {
        **weights("embeddings.word_embeddings", len(BERT), 8, bias=False),
        **weights("embeddings.position_embeddings", 32, 8, bias=False),
        **weights("embeddings.token_type_embeddings", 2, 8, bias=False),
        **weights("embeddings.LayerNorm", 8), **weights("pooler.dense", 8, 8),
        **weights(f"{layer}.intermediate.dense", 16, 8), **weights(f"{layer}.output.dense", 8, 16),
        **weights(f"{layer}.output.LayerNorm", 8),
        **weights(f"{layer}.attention.output.dense", 8, 8),
        **weights(f"{layer}.attention.output.LayerNorm", 8),
    }  # fmt: skip
    for name in ("query", "key", "value"):
        tensors |= weights(f"{layer}.attention.self.{name}", 8, 8)
    pytest.importorskip("safetensors.numpy").save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "bert", "vocab_size": len(BERT), "num_hidden_layers": 1, "hidden_size": 8,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32,
        "architectures": ["BertModel"],
    }  # fmt: skip
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    parts = {
        "config.json": config,
        "tokenizer_config.json": {"do_lower_case": True, "tokenizer_class": "BertTokenizer"},
        "modules.json": [{"type": f"sentence_transformers.models.{kind}"} for kind in kinds],
        "sentence_bert_config.json": {"max_seq_length": LENGTH},
        "1_Pooling/config.json": {f"pooling_mode_{pooling}": True},
    }
    (folder / "1_Pooling").mkdir()
    for name, part in parts.items():
        (folder / name).write_text(json.dumps(part))
    return folder


@pytest.mark.parametrize(
    ("pooling", "normalize"), [("mean_tokens", True), ("cls_token", False), ("max_tokens", True)]
)
def test_a_sentence_embedder_pools_and_normalizes_as_its_folder_says(
    pooling: str, normalize: bool, tmp_path: Path
) -> None:
    folder = write_sentence_embedder(tmp_path / "minilm", pooling, normalize)
    layer = made(tmp_path, folder, "text", task="text_embedder")
    texts = [*TEXTS, "Straße", "İstanbul"]  # which KerasHub's own rules would change otherwise

    found = answers(layer, text=texts)

    whole = HuggingFace.from_file(str(folder / "tokenizer.json"))
    whole.enable_truncation(LENGTH)
    whole.enable_padding(length=LENGTH)
    tokens = whole.encode_batch(texts)
    mask = np.array([item.attention_mask for item in tokens])
    steps = np.asarray(
        models.BertBackbone.from_preset(str(folder))(
            {
                "token_ids": np.array([item.ids for item in tokens]),
                "padding_mask": mask,
                "segment_ids": np.zeros_like(mask),
            }
        )["sequence_output"]
    )
    one = mask[:, :, None]
    expected = {
        "mean_tokens": (steps * one).sum(1) / one.sum(1),
        "cls_token": steps[:, 0],
        "max_tokens": np.where(one, steps, -np.inf).max(1),
    }[pooling]
    if normalize:
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def refused(folder: Path, preset: Path, *inputs: str, **config: Any) -> str:
    with pytest.raises(SpecificationError) as caught:
        write_model(
            Submodel(preset=str(preset), inputs=dict.fromkeys(inputs, "a"), config=config),
            folder / "made.keras",
        )
    [problem] = caught.value.problems
    return problem


def test_what_a_text_cannot_go_into_is_reported(tmp_path: Path) -> None:
    preset = tmp_path / "preset"
    backbone_class, tokenizer, size = bert(tmp_path)
    backbone = backbone_class(**SIZES, vocabulary_size=size, max_sequence_length=LENGTH)
    backbone.save_to_preset(str(preset))

    assert refused(tmp_path, preset, "text").startswith(
        f"inputs.text: KerasHub reads no tokenizer from the preset {preset} ("
    )
    tokenizer.save_to_preset(str(preset))
    assert refused(tmp_path, preset, "text", "token_ids").startswith(
        "inputs: expected 'text', or 'text' and 'text_pair', found text, token_ids: either text or"
    )
    assert refused(tmp_path, preset, "text", sequence_length=LENGTH + 1) == (
        f"config.sequence_length: the model takes {LENGTH} tokens at most, found {LENGTH + 1}"
    )
    assert refused(tmp_path, preset, "text", sequence_length="8") == (
        "config.sequence_length: expected a whole number from 1, found '8'"
    )
    assert refused(tmp_path, preset, "text", sequence_length=2).startswith(
        "inputs.text: the preset's tokenizer: 2 tokens leave no room for a text"
    )
