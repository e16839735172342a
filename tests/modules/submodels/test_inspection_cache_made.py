"""Applications and presets become files once; after that they are known as any other file is."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.inspection_cache import InspectionCache

VISION = "vision: {path: models/vision.keras, inputs: {image: image}, output: features}"
SHAPE = "image_path, shape: [8, 8, 3]"
CONFIG = "config: {input_shape: [32, 32, 3], include_top: false, pooling: avg, alpha: 0.35}"
MADE = f"vision: {{application: MobileNetV2, {CONFIG}, WEIGHTSinputs: {{input_layer: image}}}}"


def with_application(world: Path, weights: str) -> Specification:
    """The small world with a MobileNetV2 in place of its image network."""
    file = world / "fusion.yaml"
    text = file.read_text().replace(VISION, MADE.replace("WEIGHTS", weights))
    file.write_text(text.replace(SHAPE, SHAPE.replace("8, 8", "32, 32")))
    return load_specification(file)


def test_it_is_made_once_and_again_where_its_file_is_gone(world: Path, tmp_path: Path) -> None:
    specification = with_application(world, "weights: random, ")
    known = InspectionCache(tmp_path / "known")
    reported: list[str] = []

    first = known.inspect(specification, reported.append)

    assert reported == [
        "making vision from keras.applications.MobileNetV2 (random)",
        "reading the sub-models vision, text",
    ]
    placed = known.with_paths(specification)
    assert placed.submodels["text"] == specification.submodels["text"]
    vision, file = placed.imported()["vision"]
    assert vision.origin == "keras.applications.MobileNetV2 (random)"
    assert [found.name for found in known.folder.glob("*.keras")] == [file.name]
    assert first["vision"] == inspect_submodel(file)
    # What is handed on is a specification like any other.
    assert Specification.model_validate_json(placed.model_dump_json()) == placed

    reported.clear()
    assert known.inspect(specification, reported.append) == first
    assert reported == []

    file.unlink()
    assert known.inspect(specification, reported.append) == first
    assert reported[-1] == "reading the sub-models vision"
    assert file.exists()


def test_what_cannot_be_made_is_reported_by_its_key(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens there, and Keras's own folder is empty.
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    specification = with_application(world, "")
    vision = specification.submodels["vision"]
    inputs = {"inputs": vision.inputs}
    broken = specification.model_copy(
        update={
            "submodels": {
                "vision": vision,
                "text": type(vision)(preset="bert_tiny_en_uncased", **inputs),
                "misspelt": vision.model_copy(update={"config": {"alpah": 1}}),
                "gone": vision.model_copy(update={"weights": str(world / "gone.weights.h5")}),
                "nowhere": type(vision)(preset=str(world / "bert"), **inputs),
            }
        }
    )

    with pytest.raises(SpecificationError) as caught:
        InspectionCache(tmp_path / "known").inspect(broken, lambda _: None)

    gone, nowhere, of_vision, of_text, misspelt = caught.value.problems
    assert gone == f"submodels.gone.weights: {world}/gone.weights.h5: no such file or folder"
    assert nowhere == f"submodels.nowhere.preset: {world}/bert: no such file or folder"
    assert of_vision.startswith(
        "submodels.vision.weights: imagenet: the weights of MobileNetV2 cannot be fetched: "
    )
    assert of_vision.endswith(
        "try again where there is a network, or name a local file of weights, or write "
        "weights: random"
    )
    assert of_text.startswith("submodels.text.preset: bert_tiny_en_uncased: it cannot be read: ")
    assert of_text.endswith(
        "try again where there is a network, or name a local folder that save_to_preset of "
        "KerasHub wrote"
    )
    assert misspelt == (
        "submodels.misspelt.config.alpah: MobileNetV2 takes no such argument; did you mean 'alpha'?"
    )
    assert list((tmp_path / "known").glob("*")) == []


def test_a_weight_that_is_not_finite_is_reported_by_the_key_of_the_weights(
    world: Path, tmp_path: Path
) -> None:
    model = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), include_top=False, pooling="avg", alpha=0.35, weights=None
    )
    kernel = model.get_layer("Conv1").kernel
    kernel.assign(kernel * float("nan"))
    model.save_weights(world / "bad.weights.h5")
    specification = with_application(world, "weights: bad.weights.h5, ")

    with pytest.raises(SpecificationError) as caught:
        InspectionCache(tmp_path / "known").inspect(specification, lambda _: None)

    [problem] = caught.value.problems
    assert problem.startswith("submodels.vision.weights: ")
    assert "the weight 'Conv1/kernel' has 432 values that are NaN or infinite" in problem
