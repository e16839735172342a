"""Files whose own classes are registered under one name each run their own code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer

ROWS = np.linspace(-2, 2, 12, dtype="float32").reshape(3, 4)
BODIES = {"own_tanh": "keras.ops.tanh(x * self.scale)", "own_sum": "x + self.scale"}
CLASS = """
import keras

@keras.saving.register_keras_serializable()
class Block(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return {body}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(keras.saving.get_custom_objects())
    found = {}
    for module, body in BODIES.items():
        (tmp_path / f"{module}.py").write_text(CLASS.format(body=body))
        entry = keras.Input((4,), name="entry")
        model = keras.Model(entry, __import__(module).Block(name="block")(entry))
        found[module] = tmp_path / f"{module}.keras"
        model.save(found[module])
        sys.modules.pop(module)
    yield found
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(before)
    for module in BODIES:
        sys.modules.pop(module, None)


def right(module: str) -> np.ndarray:
    return np.tanh(ROWS) if module == "own_tanh" else ROWS + 1


def opened(files: dict[str, Path]) -> dict[str, SubmodelLayer]:
    return {
        module: SubmodelLayer(path, ["block"], None, module, [f"{module}:Block"])
        for module, path in files.items()
    }


def test_each_runs_its_own_code(files: dict[str, Path]) -> None:
    for module, layer in opened(files).items():
        np.testing.assert_allclose(layer({"entry": ROWS})["block"], right(module), rtol=1e-6)
    # The other way round: by now both modules are imported, and register nothing any more.
    for module, layer in opened(dict(reversed(files.items()))).items():
        np.testing.assert_allclose(layer({"entry": ROWS})["block"], right(module), rtol=1e-6)


def test_the_registry_is_as_it_was(files: dict[str, Path]) -> None:
    mine = type("Block", (keras.layers.Layer,), {})
    keras.saving.get_custom_objects()["Custom>Block"] = mine

    opened(files)

    assert keras.saving.get_custom_objects()["Custom>Block"] is mine


def test_each_is_saved_and_loaded_with_its_own(files: dict[str, Path], tmp_path: Path) -> None:
    layers = opened(files)
    entry = keras.Input((4,), name="entry")
    outputs = {name: layer({"entry": entry})["block"] for name, layer in layers.items()}
    keras.Model(entry, outputs).save(tmp_path / "both.keras")

    found = keras.saving.load_model(tmp_path / "both.keras")(ROWS)

    for module in BODIES:
        np.testing.assert_allclose(found[module], right(module), rtol=1e-6)


def test_two_classes_of_one_name_in_one_file_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="two of them have one name"):
        inspect_submodel(files["own_sum"], None, ["own_sum:Block", "own_tanh:Block"])
