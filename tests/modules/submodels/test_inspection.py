"""What is read of a sub-model of either format: the format, the digest, weights that are finite."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import TwoSignatures, refusal, shape_of, small_model

from tfx_fusion.modules.submodels.inspection import detect_format, inspect_submodel
from tfx_fusion.modules.submodels.stored_config import read_config

# ------------------------------------------------------------------------------- paths, formats


def test_a_missing_path_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.keras"

    assert refusal(path) == f"{path}: no such file or folder"


def test_a_folder_without_a_graph_is_no_savedmodel(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path}: expected a SavedModel folder, found no saved_model.pb in it"
    )


def test_another_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(b"\x89HDF")

    message = refusal(path)

    assert message.startswith(f"{path}: expected a .keras file or a SavedModel folder")
    assert "`model.save('model.keras')` or `model.export('folder')`" in message


def test_the_format_is_reported_by_what_the_path_is(shared_world: Path) -> None:
    assert detect_format(shared_world / "models" / "vision.keras") == "keras"
    assert detect_format(shared_world / "models" / "text") == "saved_model"


# ---------------------------------------------------------------------------------- the digest


def saved_on(date: str, path: Path, target: Path) -> Path:
    """The same `.keras` file with another time stamp."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": date}).encode()
            new.writestr(name, content)
    return target


def test_the_digest_survives_saving_the_same_model_again(tmp_path: Path) -> None:
    model = small_model()
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    model.save(first)
    model.save(second)
    earlier = saved_on("2001-01-01@00:00:00", first, tmp_path / "earlier.keras")

    assert first.read_bytes() != earlier.read_bytes()
    assert len({inspect_submodel(path).digest for path in (first, second, earlier)}) == 1


def test_the_digest_leaves_the_optimizer_out(tmp_path: Path) -> None:
    model = small_model()
    model.save(tmp_path / "bare.keras")
    weights = model.get_weights()
    model.compile("adam", "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 1)), epochs=1, verbose=0)
    model.set_weights(weights)
    model.save(tmp_path / "compiled.keras")

    assert (
        inspect_submodel(tmp_path / "bare.keras").digest
        == inspect_submodel(tmp_path / "compiled.keras").digest
    )


def test_the_digest_survives_loading_and_saving_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    small_model().save(first)
    keras.saving.load_model(first).save(second)

    # Keras notes the memory address of a dtype policy that layers share: another in each process.
    assert "shared_object_id" in json.dumps(read_config(first))
    assert inspect_submodel(first).digest == inspect_submodel(second).digest


@pytest.mark.parametrize("step", [1e-7, -1e-7])
def test_the_digest_notices_one_weight_that_moved_a_little(step: float, tmp_path: Path) -> None:
    model = small_model()
    kernel = np.full((2, 3), 0.5, "float32")
    bias = np.zeros(3, "float32")
    model.get_layer("hidden").set_weights([kernel, bias])
    model.save(tmp_path / "before.keras")
    kernel[1, 2] += step
    model.get_layer("hidden").set_weights([kernel, bias])
    model.save(tmp_path / "after.keras")

    assert (
        inspect_submodel(tmp_path / "before.keras").digest
        != inspect_submodel(tmp_path / "after.keras").digest
    )


def test_the_digest_notices_another_architecture_over_the_same_weights(tmp_path: Path) -> None:
    model = small_model()
    model.save(tmp_path / "before.keras")
    model.get_layer("hidden").activation = keras.activations.tanh
    model.save(tmp_path / "after.keras")

    assert (
        inspect_submodel(tmp_path / "before.keras").digest
        != inspect_submodel(tmp_path / "after.keras").digest
    )


def test_the_digest_of_a_savedmodel_notices_a_weight_and_survives_a_copy(tmp_path: Path) -> None:
    module = TwoSignatures()
    signatures = {"stretch": module.stretch}
    tf.saved_model.save(module, str(tmp_path / "before"), signatures)
    shutil.copytree(tmp_path / "before", tmp_path / "copy")
    module.factors.assign_add([[0.0, 1e-7]])
    tf.saved_model.save(module, str(tmp_path / "after"), signatures)

    before, copy, after = (
        inspect_submodel(tmp_path / name).digest for name in ("before", "copy", "after")
    )

    assert before == copy
    assert before != after


def test_the_digest_notices_another_vocabulary_over_the_same_weights(tmp_path: Path) -> None:
    for name, text in (("colours", "red green"), ("places", "here there")):
        entry = keras.Input((), dtype="string", name="text")
        splitting = keras.layers.TextVectorization(name="splitting")
        splitting.adapt(tf.constant([text]))
        keras.Model(entry, splitting(entry), name="reader").save(tmp_path / f"{name}.keras")

    colours, places = (inspect_submodel(tmp_path / f"{n}.keras") for n in ("colours", "places"))

    assert colours.digest != places.digest


def test_the_digest_of_a_savedmodel_notices_a_changed_asset(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("red\ngreen\n")

    class Lookup(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            index = tf.lookup.TextFileIndex
            lines = tf.lookup.TextFileInitializer(
                str(words), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
            )
            self.table = tf.lookup.StaticHashTable(lines, -1)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
        def find(self, word: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"line": self.table.lookup(word)}

    module, path = Lookup(), tmp_path / "lookup"
    tf.saved_model.save(module, str(path), {"serving_default": module.find})
    before = inspect_submodel(path).digest

    # The same graph now finds other lines.
    (path / "assets" / "words.txt").write_text("green\nred\n")

    assert inspect_submodel(path).digest != before


# ----------------------------------------------------------------------------- finite weights


def save_keras_with(value: float, folder: Path, dtype: str | None = None) -> Path:
    model = small_model(dtype)
    kernel, bias = model.get_layer("hidden").get_weights()
    kernel[0, 1] = value
    model.get_layer("hidden").set_weights([kernel, bias])
    model.save(folder / "damaged.keras")
    return folder / "damaged.keras"


def save_savedmodel_with(value: float, folder: Path) -> Path:
    module = TwoSignatures()
    module.factors.assign([[value, 1.0]])
    tf.saved_model.save(module, str(folder / "damaged"), {"stretch": module.stretch})
    return folder / "damaged"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("save", "weight", "size"),
    [(save_keras_with, "hidden/kernel", 6), (save_savedmodel_with, "factors", 2)],
    ids=["keras", "saved_model"],
)
def test_a_weight_that_is_no_finite_number_is_refused_by_its_name(
    save: Callable[[float, Path], Path], weight: str, size: int, value: float, tmp_path: Path
) -> None:
    path = save(value, tmp_path)

    message = refusal(path)

    assert message.startswith(f"{path}: the weight '{weight}' has 1 value")
    assert f"NaN or infinite (of {size})" in message
    assert message.endswith("the model was damaged in training: save a valid one")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_weight_of_half_precision_is_checked_as_well(dtype: str, tmp_path: Path) -> None:
    path = save_keras_with(float("nan"), tmp_path, dtype)

    assert "the weight 'hidden/kernel' has 1 value" in refusal(path)


def test_the_shared_world_is_valid(shared_world: Path) -> None:
    vision = inspect_submodel(shared_world / "models" / "vision.keras").interface
    text = inspect_submodel(shared_world / "models" / "text").interface

    assert shape_of(vision, "features", "probabilities") == ["(6) float32", "(3) float32"]
    assert shape_of(text, "features", "probabilities") == ["(4) float32", "(3) float32"]
