"""What is read of a `.keras` file before it is used: its interface, and what is refused."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from small_models import refusal, shape_of, small_model

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer


def test_a_functional_model_is_known_by_its_inputs_outputs_and_inner_layers(
    tmp_path: Path,
) -> None:
    model = small_model()
    model.save(tmp_path / "small.keras")

    interface = inspect_submodel(tmp_path / "small.keras").interface

    assert interface.format == "keras"
    assert {name: str(info) for name, info in interface.inputs.items()} == {"entry": "(2) float32"}
    assert {name: str(info) for name, info in interface.outputs.items()} == {"score": "(1) float32"}
    assert {name: str(info) for name, info in interface.cuts.items()} == {
        "hidden": "(3) float32",
        "score": "(1) float32",
    }
    assert interface.outputs["score"].activation == "sigmoid"
    assert interface.cuts["hidden"].activation == "relu"


def test_parameters_are_counted_for_the_whole_and_for_what_a_cut_needs(tmp_path: Path) -> None:
    model = small_model()
    model.save(tmp_path / "small.keras")

    interface = inspect_submodel(tmp_path / "small.keras").interface

    assert interface.parameters == model.count_params() == 13
    assert sum(interface.weights_of(["score"]).values()) == 13
    assert sum(interface.weights_of(["hidden"]).values()) == 9


def test_dictionaries_name_inputs_and_outputs_by_their_keys(tmp_path: Path) -> None:
    left, right = keras.Input((2,), name="left"), keras.Input((4, 4, 1), name="right")
    pooled = keras.layers.GlobalMaxPooling2D(name="pooled")(right)
    both = keras.layers.Concatenate(name="both")([left, pooled])
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax", name="kind_layer")(both),
        "size": keras.layers.Dense(1, name="size_layer")(both),
    }
    keras.Model({"left": left, "right": right}, outputs).save(tmp_path / "several.keras")

    interface = inspect_submodel(tmp_path / "several.keras").interface

    assert {name: str(info) for name, info in interface.inputs.items()} == {
        "left": "(2) float32",
        "right": "(4, 4, 1) float32",
    }
    assert {name: str(info) for name, info in interface.outputs.items()} == {
        "kind": "(3) float32",
        "size": "(1) float32",
    }
    assert interface.outputs["kind"].activation == "softmax"
    # Each output counts only what it takes to compute it.
    assert [sum(interface.weights_of([name]).values()) for name in ("kind", "size")] == [12, 4]
    assert interface.parameters == 16


def test_lists_name_inputs_by_the_inputs_and_outputs_by_their_layers(tmp_path: Path) -> None:
    words = keras.Input((5,), dtype="int64", name="words")
    steps = keras.Input((None, 3), name="steps")
    embedded = keras.layers.Embedding(7, 2, name="embedded")(words)
    last = keras.layers.GRU(2, name="last")(steps)
    keras.Model([words, steps], [embedded, last]).save(tmp_path / "lists.keras")

    interface = inspect_submodel(tmp_path / "lists.keras").interface

    assert {name: str(info) for name, info in interface.inputs.items()} == {
        "words": "(5) int64",
        "steps": "(?, 3) float32",
    }
    assert list(interface.outputs) == ["embedded", "last"]
    assert shape_of(interface, "embedded", "last") == ["(5, 2) float32", "(2) float32"]


def test_a_sequential_with_an_input_is_read_as_its_functional_form(tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.Input((2,), name="entry"),
            keras.layers.Dense(3, name="hidden"),
            keras.layers.Dense(1, name="score"),
        ]
    )
    model.save(tmp_path / "sequential.keras")

    interface = inspect_submodel(tmp_path / "sequential.keras").interface

    assert list(interface.inputs) == ["entry"]
    assert set(interface.cuts) == {"hidden", "score"}
    assert shape_of(interface, "hidden", "score") == ["(3) float32", "(1) float32"]
    assert interface.parameters == model.count_params()
    assert sum(interface.weights_of(["hidden"]).values()) == 9


def test_a_sequential_without_an_input_forgets_the_batch_size_it_was_built_with(
    tmp_path: Path,
) -> None:
    model = keras.Sequential([keras.layers.Dense(3, name="hidden"), keras.layers.Dense(1)])
    model(np.ones((1, 2), "float32"))
    model.save(tmp_path / "sequential.keras")

    interface = inspect_submodel(tmp_path / "sequential.keras").interface

    [entry] = interface.inputs.values()
    assert str(entry) == "(2) float32"
    assert shape_of(interface, "hidden") == ["(3) float32"]


def test_a_sequential_that_was_never_built_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unbuilt.keras"
    with pytest.warns(UserWarning, match="has not yet been built"):
        keras.Sequential([keras.layers.Dense(3)]).save(path)

    assert refusal(path) == (
        f"{path}: the model was saved before it was built; call it once, then save"
    )


def test_a_nested_model_is_an_inner_layer_beside_its_own_layers(tmp_path: Path) -> None:
    entry = keras.Input((2,), name="picture")
    outer = keras.Model(entry, keras.layers.Dense(4, name="wide")(small_model()(entry)))
    outer.save(tmp_path / "outer.keras")

    interface = inspect_submodel(tmp_path / "outer.keras").interface

    assert set(interface.cuts) == {"small", "small/hidden", "small/score", "wide"}
    assert str(interface.cuts["small"]) == "(1) float32"
    # The activation is that of the nested model's own last layer.
    assert interface.cuts["small"].activation == "sigmoid"
    assert sum(interface.weights_of(["small"]).values()) == 13
    assert interface.parameters == outer.count_params() == 13 + 8


def test_a_model_that_ends_in_a_nested_model_gives_its_output(tmp_path: Path) -> None:
    entry = keras.Input((2,), name="picture")
    keras.Model(entry, small_model()(entry)).save(tmp_path / "outer.keras")

    interface = inspect_submodel(tmp_path / "outer.keras").interface

    assert {name: info.activation for name, info in interface.outputs.items()} == {
        "small": "sigmoid"
    }


def test_several_outputs_of_one_layer_are_all_kept(tmp_path: Path) -> None:
    entry = keras.Input((2,))
    twins = [keras.layers.Dense(1, name="one")(entry), keras.layers.Dense(4, name="four")(entry)]
    inner = keras.Model(entry, twins, name="inner")
    outer_entry = keras.Input((2,), name="entry")
    keras.Model(outer_entry, inner(outer_entry)).save(tmp_path / "outer.keras")

    outputs = inspect_submodel(tmp_path / "outer.keras").interface.outputs

    assert [str(info) for info in outputs.values()] == ["(1) float32", "(4) float32"]


def test_a_layer_that_is_called_twice_is_no_place_to_cut(tmp_path: Path) -> None:
    entry = keras.Input((2,), name="entry")
    shared = keras.layers.Dense(2, name="shared")
    keras.Model(entry, keras.layers.Dense(1, name="last")(shared(shared(entry)))).save(
        tmp_path / "shared.keras"
    )

    assert set(inspect_submodel(tmp_path / "shared.keras").interface.cuts) == {"last"}


CUSTOM_MODULE = """
import keras

class Doubler(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2

class Scorer(keras.Model):
    def __init__(self, units=1, **options):
        super().__init__(**options)
        self.units = units
        self.double = Doubler()
        self.score = keras.layers.Dense(units)

    def call(self, steps):
        return self.score(self.double(steps))

    def get_config(self):
        return {**super().get_config(), "units": self.units}
"""


@pytest.fixture
def scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved subclassed model whose class lives in a module of its own, `own_scorer`."""
    (tmp_path / "own_scorer.py").write_text(CUSTOM_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    model = importlib.import_module("own_scorer").Scorer(3)
    model(np.ones((1, 2), "float32"))
    model.save(tmp_path / "scorer.keras")
    return tmp_path / "scorer.keras"


def test_a_class_that_is_not_listed_is_refused_with_the_way_to_list_it(scorer: Path) -> None:
    message = refusal(scorer)

    assert message == (
        f"{scorer}: the model holds the class Scorer, which is not Keras's own: if you trust it, "
        "list it as custom_objects: ['own_scorer:Scorer']"
    )


def test_a_listed_subclassed_model_is_read_as_one_layer(scorer: Path) -> None:
    interface = inspect_submodel(scorer, None, ["own_scorer:Scorer"]).interface

    assert {name: str(info) for name, info in interface.inputs.items()} == {"steps": "(2) float32"}
    assert [str(info) for info in interface.outputs.values()] == ["(3) float32"]
    assert interface.parameters == 2 * 3 + 3
    # By the attribute: Keras numbers such layers anew in each process.
    assert [name.rpartition("/")[2] for name in interface.weights_of(interface.outputs)] == [
        "score"
    ]


SAMPLER = """
import keras

@keras.saving.register_keras_serializable("own")
class Sampler(keras.layers.Layer):
    def call(self, mean):
        return mean + keras.random.normal(keras.ops.shape(mean))
"""


def test_an_output_that_a_listed_class_draws_in_inference_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_sampler.py").write_text(SAMPLER)
    monkeypatch.syspath_prepend(tmp_path)
    entry = keras.Input((4,), name="entry")
    mean = keras.layers.Dropout(0.5)(keras.layers.Dense(3)(entry))
    drawn = importlib.import_module("own_sampler").Sampler()(mean)
    keras.Model(entry, {"mean": mean, "drawn": drawn}).save(tmp_path / "encoder.keras")

    outputs = inspect_submodel(
        tmp_path / "encoder.keras", None, ["own_sampler:Sampler"]
    ).interface.outputs

    assert {name: output.drawn for name, output in outputs.items()} == {
        "mean": False, "drawn": True,
    }  # fmt: skip


def test_a_listed_class_that_cannot_be_imported_is_reported(scorer: Path) -> None:
    with pytest.raises(UserError, match=r"'own_scorer:Nobody' cannot be imported: .*PYTHONPATH"):
        inspect_submodel(scorer, None, ["own_scorer:Nobody"])


def test_a_signature_of_a_keras_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.keras"
    small_model().save(path)

    assert refusal(path, "serving_default") == (
        f"{path}: a .keras file has no signatures; take the key away"
    )


def test_weights_that_do_not_fit_the_architecture_are_reported_as_one_error(tmp_path: Path) -> None:
    small_model().save(tmp_path / "small.keras")
    path = tmp_path / "mixed.keras"
    with zipfile.ZipFile(tmp_path / "small.keras") as good, zipfile.ZipFile(path, "w") as mixed:
        mixed.writestr("metadata.json", good.read("metadata.json"))
        mixed.writestr("config.json", good.read("config.json"))
        mixed.writestr("model.weights.h5", b"these are no weights")

    assert refusal(path).startswith(f"{path}: Keras cannot load the model: ")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_sequential_built_by_a_call_on_whole_numbers_takes_them(
    wrapped: bool, tmp_path: Path
) -> None:
    layers = keras.layers
    first = layers.Embedding(300, 4, mask_zero=True)
    model = keras.Sequential([keras.Sequential([first]) if wrapped else first, layers.LSTM(2)])
    ids = np.random.default_rng(5).integers(0, 300, (3, 6))
    model(ids)
    model.save(tmp_path / "bag.keras")

    interface = inspect_submodel(tmp_path / "bag.keras").interface
    [(entry, info)] = interface.inputs.items()
    layer = SubmodelLayer(tmp_path / "bag.keras", list(interface.outputs), None, "sub")

    assert str(info) == "(6) int64"
    [found] = layer({entry: ids}).values()
    np.testing.assert_allclose(found, model(ids), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_stateful_model_is_refused(wrapped: bool, tmp_path: Path) -> None:
    entry = keras.Input((5, 3), batch_size=4)
    layer = keras.layers.LSTM(3, stateful=True, name="memory")
    layer = keras.layers.Bidirectional(layer, name="memory") if wrapped else layer
    keras.Model(entry, layer(entry)).save(tmp_path / "model.keras")

    said = refusal(tmp_path / "model.keras")

    assert "the layer 'memory' is stateful: what it gives for a row depends on the batches" in said


def test_a_model_for_batches_of_one_size_is_refused(tmp_path: Path) -> None:
    entry = keras.Input((3,), batch_size=4, name="entry")
    keras.Model(entry, keras.layers.Dense(2)(entry)).save(tmp_path / "model.keras")

    said = refusal(tmp_path / "model.keras")

    assert "the input 'entry' takes batches of 4 rows only: build the model with an Input" in said
