"""Backbones from KerasHub's presets. The oracle is the backbone that wrote the preset."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

from tfx_fusion.modules.errors import SpecificationError, UserError
from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.submodels.sources import write_model

TOKENS = 30
LENGTH = 6


@pytest.fixture(scope="module")
def bert() -> keras.Model:
    """With weights large enough for what is masked to make a difference."""
    model = keras_hub.models.BertBackbone(
        vocabulary_size=TOKENS, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16,
        max_sequence_length=12, dropout=0.5,
    )  # fmt: skip
    random = np.random.default_rng(4)
    model.set_weights([random.normal(0, 0.5, weight.shape) for weight in model.weights])
    return model


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    keras.utils.set_random_seed(5)
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[3], stackwise_num_filters=[64],
        stackwise_num_blocks=[1], stackwise_num_strides=[1], block_type="basic_block",
    )  # fmt: skip


@pytest.fixture(scope="module")
def presets(
    bert: keras.Model, resnet: keras.Model, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the presets `bert` and `resnet`; read only."""
    folder = tmp_path_factory.mktemp("presets")
    bert.save_to_preset(str(folder / "bert"))
    resnet.save_to_preset(str(folder / "resnet"))
    return folder


def made(folder: Path, preset: str | Path, **config: Any) -> Path:
    file = folder / "made.keras"
    write_model(Submodel(preset=str(preset), config=config, inputs={"any": "image"}), file)
    return file


def refusals(folder: Path, preset: str | Path, **config: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        made(folder, preset, **config)
    assert list(folder.glob("*.keras")) == []
    return caught.value.problems


@pytest.fixture
def spoilt(presets: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """A copy of the preset `bert` whose stored architecture was changed."""

    def spoil(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / "spoilt"
        shutil.copytree(presets / "bert", folder)
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return spoil


def sentences() -> dict[str, np.ndarray]:
    """Three sentences of different lengths."""
    random = np.random.default_rng(8)
    lengths = np.array([[6], [4], [1]])
    return {
        "token_ids": random.integers(1, TOKENS, (3, LENGTH)).astype("int32"),
        "segment_ids": np.zeros((3, LENGTH), "int32"),
        "padding_mask": (np.arange(LENGTH) < lengths).astype("int32"),
    }


def test_a_text_backbone_answers_as_it_does_alone_with_its_attention_mask(
    presets: Path, bert: keras.Model, tmp_path: Path
) -> None:
    taps = ["pooled_output", "sequence_output"]
    layer = SubmodelLayer(made(tmp_path, presets / "bert"), taps, None, "text")
    unmasked = {**sentences(), "padding_mask": np.ones((3, LENGTH), "int32")}

    expected = bert(sentences(), training=False)

    for training in (False, True):  # half of all is dropped in training
        found = layer(sentences(), training=training)
        for tap in taps:
            np.testing.assert_allclose(found[tap], expected[tap], atol=1e-5)
    # The mask matters, else this would prove nothing of it.
    other = bert(unmasked, training=False)["pooled_output"]
    assert np.abs(np.asarray(other) - expected["pooled_output"]).max() > 0.1


def test_an_image_backbone_answers_as_it_does_alone_and_is_cut(
    presets: Path, resnet: keras.Model, tmp_path: Path
) -> None:
    file = made(tmp_path, presets / "resnet", image_shape=[32, 32, 3])
    pictures = np.random.default_rng(1).random((2, 32, 32, 3)).astype("float32")
    inner = keras.Model(resnet.input, resnet.get_layer("conv1_conv").output)
    layer = SubmodelLayer(file, ["stack0_block0_out", "conv1_conv"], None, "vision")

    found = layer({"input_layer": pictures})

    np.testing.assert_allclose(
        found["stack0_block0_out"], resnet(pictures, training=False), atol=1e-5
    )
    np.testing.assert_allclose(found["conv1_conv"], inner(pictures, training=False), atol=1e-5)


def test_layers_that_no_one_named_have_the_same_names_whatever_was_loaded_before(
    presets: Path, tmp_path: Path
) -> None:
    file = made(tmp_path, presets / "resnet")
    keras.Input((1,))
    keras.layers.Activation("relu")

    first = inspect_submodel(file)

    assert list(first.interface.inputs) == ["input_layer"]
    assert inspect_submodel(file) == first


def test_config_goes_to_the_backbone(presets: Path, tmp_path: Path) -> None:
    interface = inspect_submodel(
        made(tmp_path, presets / "resnet", image_shape=[64, 64, 3])
    ).interface

    assert interface.inputs["input_layer"].shape == (64, 64, 3)


def test_random_weights_are_the_same_ones_each_time(presets: Path, tmp_path: Path) -> None:
    trained = inspect_submodel(made(tmp_path, presets / "bert"))
    first = inspect_submodel(made(tmp_path, presets / "bert", load_weights=False))
    keras.utils.set_random_seed(99)

    assert inspect_submodel(made(tmp_path, presets / "bert", load_weights=False)) == first
    assert first.interface == trained.interface
    assert first.digest != trained.digest


def test_a_plain_file_with_layers_of_keras_hub_needs_no_list_of_classes(tmp_path: Path) -> None:
    entry = keras.Input((LENGTH, 8), name="steps")
    encoder = keras_hub.layers.TransformerEncoder(16, 2, name="encoder")
    model = keras.Model(entry, encoder(entry))
    model.save(tmp_path / "plain.keras")
    steps = np.random.default_rng(1).random((2, LENGTH, 8)).astype("float32")

    layer = SubmodelLayer(tmp_path / "plain.keras", ["encoder"], None, "plain")

    np.testing.assert_allclose(
        layer({"steps": steps})["encoder"], model(steps, training=False), atol=1e-6
    )


def test_without_keras_hub_it_is_reported_what_to_install(
    presets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(tmp_path, presets / "bert")
    monkeypatch.setitem(sys.modules, "keras_hub", None)  # Python then finds no such module

    for use in (lambda: made(tmp_path, presets / "bert"), lambda: inspect_submodel(file)):
        with pytest.raises(
            UserError, match=r"install the extra 'hub': pip install 'tfx-fusion\[hub\]'"
        ):
            use()


def test_a_name_that_keras_hub_does_not_have_is_reported(tmp_path: Path) -> None:
    assert refusals(tmp_path, "bert_tiny_en_uncasd") == [
        "preset: KerasHub has none of the name 'bert_tiny_en_uncasd' (a folder is written with a "
        "slash: ./bert_tiny_en_uncasd); did you mean 'bert_tiny_en_uncased'?"
    ]


def test_every_wrong_argument_is_reported(presets: Path, tmp_path: Path) -> None:
    assert refusals(tmp_path, presets / "bert", dropuot=0.1, load_weights="no") == [
        "config.dropuot: BertBackbone takes no such argument; did you mean 'dropout'?",
        "config.load_weights: expected true or false, found 'no'",
    ]


def test_weights_that_do_not_fit_the_config_are_reported(presets: Path, tmp_path: Path) -> None:
    [problem] = refusals(tmp_path, presets / "bert", hidden_dim=16)

    start = f"preset: {presets}/bert: KerasHub cannot load BertBackbone: "
    assert problem.startswith(start)
    assert problem.endswith(
        "expected a folder that save_to_preset of KerasHub wrote: write it again"
    )


@pytest.mark.parametrize(
    ("file", "content", "reported"),
    [
        ("config.json", None, "it cannot be read: "),
        ("config.json", b"{", "it cannot be read: "),
        ("config.json", b"[]", "it cannot be read: "),
        ("config.json", b'{"registered_name": "keras_hub>BertBackbone"}', "KerasHub cannot load "),
        ("config.json", b'{"registered_name": "Functional"}', "expected a backbone of KerasHub's"),
        ("config.json", b'{"registered_name": "my>Own"}', "Attempting to load class my>Own "),
        ("model.weights.h5", None, "KerasHub cannot load BertBackbone: "),
        ("model.weights.h5", b"no weights", "KerasHub cannot load BertBackbone: "),
    ],
)
def test_a_damaged_folder_is_reported(
    file: str, content: bytes | None, reported: str, presets: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(presets / "bert", folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)

    [problem] = refusals(tmp_path, folder)

    assert problem.startswith(f"preset: {folder}: {reported}")


def test_stored_code_is_refused(
    spoilt: Callable[[Callable[[dict[str, Any]], None]], Path], tmp_path: Path
) -> None:
    def plant(config: dict[str, Any]) -> None:
        entry = keras.layers.Lambda(lambda x: x, name="odd")
        config["config"]["dropout"] = keras.saving.serialize_keras_object(entry)

    folder = spoilt(plant)

    [problem] = refusals(tmp_path, folder)

    assert problem.startswith(f"preset: {folder}: layer 'odd' holds code (Lambda), which could do ")


def test_a_class_from_elsewhere_is_refused(
    spoilt: Callable[[Callable[[dict[str, Any]], None]], Path], tmp_path: Path
) -> None:
    def plant(config: dict[str, Any]) -> None:
        config["config"]["dropout"] = {
            "module": "os", "class_name": "system", "config": {}, "registered_name": "system",
        }  # fmt: skip

    folder = spoilt(plant)

    [problem] = refusals(tmp_path, folder)

    assert problem.startswith(
        f"preset: {folder}: it holds the class system, which is neither Keras's nor KerasHub's: "
    )
