"""What is read of a sub-model before it is used: interface, digest, soundness, in both formats."""

from __future__ import annotations

import importlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.inspection import detect_format, inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.stored_config import read_config


def shape_of(interface: Interface, *names: str) -> list[str]:
    return [str(interface.taps()[name]) for name in names]


def refusal(path: Path, signature: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        inspect_submodel(path, signature)
    return str(caught.value)


def small_model(dtype: str | None = None) -> keras.Model:
    """Two layers: 2 × 3 + 3 and 3 × 1 + 1 parameters."""
    entry = keras.Input((2,), name="entry")
    hidden = keras.layers.Dense(3, activation="relu", name="hidden", dtype=dtype)(entry)
    score = keras.layers.Dense(1, activation="sigmoid", name="score", dtype=dtype)(hidden)
    return keras.Model(entry, score, name="small")


class TwoSignatures(tf.Module):
    """A model of plain TensorFlow that can double or halve."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = tf.Variable([[2.0, 0.5]], name="factors")

    @tf.function(input_signature=[tf.TensorSpec((None, 1), tf.float32, name="number")])
    def stretch(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"stretched": number @ self.factors}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def repeat(self, word: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"repeated": tf.strings.join([word, word])}


def save_two_signatures(path: Path, *names: str) -> Path:
    module = TwoSignatures()
    wanted = names or ("stretch", "repeat")
    tf.saved_model.save(module, str(path), {name: getattr(module, name) for name in wanted})
    return path


# ---------------------------------------------------------------------------- the .keras format


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


def test_a_listed_class_that_cannot_be_imported_is_told(scorer: Path) -> None:
    with pytest.raises(UserError, match=r"'own_scorer:Nobody' cannot be imported: .*PYTHONPATH"):
        inspect_submodel(scorer, None, ["own_scorer:Nobody"])


def test_a_signature_of_a_keras_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.keras"
    small_model().save(path)

    assert refusal(path, "serving_default") == (
        f"{path}: a .keras file has no signatures; take the key away"
    )


def test_weights_that_do_not_fit_the_architecture_are_told_as_one_error(tmp_path: Path) -> None:
    small_model().save(tmp_path / "small.keras")
    path = tmp_path / "mixed.keras"
    with zipfile.ZipFile(tmp_path / "small.keras") as good, zipfile.ZipFile(path, "w") as mixed:
        mixed.writestr("metadata.json", good.read("metadata.json"))
        mixed.writestr("config.json", good.read("config.json"))
        mixed.writestr("model.weights.h5", b"these are no weights")

    assert refusal(path).startswith(f"{path}: Keras cannot load the model: ")


# ------------------------------------------------------------------------ the SavedModel format


def test_a_keras_export_is_known_by_its_serving_signature(tmp_path: Path) -> None:
    entry = keras.Input((2,), name="entry")
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax")(entry),
        "size": keras.layers.Dense(1)(entry),
    }
    model = keras.Model(entry, outputs)
    model.export(tmp_path / "exported", verbose=False)

    interface = inspect_submodel(tmp_path / "exported").interface

    assert interface.format == "saved_model"
    assert {name: str(info) for name, info in interface.inputs.items()} == {"entry": "(2) float32"}
    assert {name: str(info) for name, info in interface.outputs.items()} == {
        "kind": "(3) float32",
        "size": "(1) float32",
    }
    assert interface.cuts == {}
    assert interface.parameters == model.count_params()
    # A graph does not say what its last operation means.
    assert interface.outputs["kind"].activation is None


def test_the_only_signature_is_taken_whatever_its_name(tmp_path: Path) -> None:
    path = save_two_signatures(tmp_path / "one", "stretch")

    interface = inspect_submodel(path).interface

    assert {name: str(info) for name, info in interface.inputs.items()} == {"number": "(1) float32"}
    assert {name: str(info) for name, info in interface.outputs.items()} == {
        "stretched": "(2) float32"
    }


def test_a_signature_is_picked_by_name_and_counts_only_its_own_variables(tmp_path: Path) -> None:
    path = save_two_signatures(tmp_path / "two")

    stretch = inspect_submodel(path, "stretch").interface
    repeat = inspect_submodel(path, "repeat").interface

    assert [stretch.parameters, repeat.parameters] == [2, 0]
    assert {name: str(info) for name, info in repeat.inputs.items()} == {"word": "() string"}
    assert {name: str(info) for name, info in repeat.outputs.items()} == {"repeated": "() string"}


def test_several_signatures_without_a_choice_are_listed(tmp_path: Path) -> None:
    path = save_two_signatures(tmp_path / "two")

    message = refusal(path)

    assert message.startswith(f"{path}: its signatures are ")
    assert "repeat" in message
    assert "stretch" in message
    assert message.endswith(": name one by the key 'signature'")


def test_a_misspelt_signature_gets_a_suggestion(tmp_path: Path) -> None:
    path = save_two_signatures(tmp_path / "two")

    assert refusal(path, "strech") == (
        f"{path}: it has no signature 'strech'; did you mean 'stretch'?"
    )


def test_a_savedmodel_without_signatures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare"
    tf.saved_model.save(tf.Module(), str(path))

    assert refusal(path).startswith(f"{path}: its signatures are none")
    assert refusal(path, "serve") == f"{path}: it has no signature 'serve'; there are none"


def test_a_tensor_of_unknown_rank_is_refused_by_its_name(tmp_path: Path) -> None:
    class AnyRank(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="anything")])
        def same(self, anything: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"same": anything}

    module, path = AnyRank(), tmp_path / "any_rank"
    tf.saved_model.save(module, str(path), {"same": module.same})

    assert refusal(path) == (
        f"{path}: the tensor 'anything' has no known rank; export with a known one"
    )


class OddlyBatched(tf.Module):
    """Signatures that cannot take the batches of any size that training and serving give."""

    ROWS = tf.TensorSpec((None, 2), tf.float32, name="rows")

    @tf.function(input_signature=[tf.TensorSpec((1, 2), tf.float32, name="rows")])
    def one_row(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"same": rows}

    @tf.function(input_signature=[ROWS, tf.TensorSpec((), tf.float32, name="rate")])
    def no_axis(self, rows: tf.Tensor, rate: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scaled": rows * rate}


@pytest.mark.parametrize(("signature", "tensor"), [("one_row", "rows"), ("no_axis", "rate")])
def test_an_input_that_does_not_take_a_batch_of_any_size_is_refused_by_its_name(
    signature: str, tensor: str, tmp_path: Path
) -> None:
    module, path = OddlyBatched(), tmp_path / "odd"
    tf.saved_model.save(module, str(path), {"serve": getattr(module, signature)})

    message = refusal(path)

    assert message.startswith(f"{path}: the tensor '{tensor}' ")
    assert "batch" in message


class Sneaky(tf.Module):
    """Signatures that run code or reach the file system when called."""

    SPEC = (tf.TensorSpec((None, 1), tf.float32, name="number"),)

    @tf.function(input_signature=SPEC)
    def python(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        doubled = tf.py_function(lambda value: value * 2, [number], tf.float32, name="sneaky")
        return {"same": tf.ensure_shape(doubled, (None, 1))}

    @tf.function(input_signature=SPEC)
    def write(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.io.write_file("/tmp/never_written", "x", name="sneaky")  # noqa: S108
        return {"same": number}

    @tf.function(input_signature=SPEC)
    def read(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"same": number, "content": tf.io.read_file("/etc/hostname", name="sneaky")}

    @tf.function(input_signature=SPEC)
    def note(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.print(number, output_stream="file:///tmp/never_written", name="sneaky")
        return {"same": number}


@pytest.mark.parametrize(
    ("signature", "operation"),
    [("python", "EagerPyFunc"), ("write", "WriteFile"), ("read", "ReadFile"), ("note", "PrintV2")],
)
def test_an_operation_that_reaches_out_is_refused_by_its_node(
    signature: str, operation: str, tmp_path: Path
) -> None:
    module, path = Sneaky(), tmp_path / "sneaky"
    # Only one function is traced and so saved: the others do not stand in the way.
    tf.saved_model.save(tf.Module(), str(path), {"serving_default": getattr(module, signature)})

    assert refusal(path) == (
        f"{path}: the graph's node 'sneaky' is a {operation}, which could do anything when "
        "called: export the model again without it"
    )


def test_a_savedmodel_without_its_variables_is_refused(tmp_path: Path) -> None:
    path = save_two_signatures(tmp_path / "two")
    shutil.rmtree(path / "variables")

    message = refusal(path, "stretch")

    assert message.startswith(f"{path}: TensorFlow cannot load the SavedModel: ")
    assert "variables" in message


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"garbage" * 9, "is damaged: "), (b"", "is empty")],
    ids=["garbage", "empty"],
)
def test_a_damaged_graph_is_refused(content: bytes, fault: str, tmp_path: Path) -> None:
    path = save_two_signatures(tmp_path / "two")
    (path / "saved_model.pb").write_bytes(content)

    assert refusal(path).startswith(f"{path}: expected a SavedModel, its saved_model.pb {fault}")


def test_a_graph_cut_off_halfway_is_refused(tmp_path: Path) -> None:
    path = save_two_signatures(tmp_path / "two")
    graph = path / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])

    assert refusal(path).startswith(f"{path}: expected a SavedModel, its saved_model.pb is damaged")


# ------------------------------------------------------------------------------- paths, formats


def test_a_missing_path_is_told(tmp_path: Path) -> None:
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


def test_the_format_is_told_by_what_the_path_is(shared_world: Path) -> None:
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


# ----------------------------------------------------------------------------------- soundness


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


def test_the_shared_world_is_sound(shared_world: Path) -> None:
    vision = inspect_submodel(shared_world / "models" / "vision.keras").interface
    text = inspect_submodel(shared_world / "models" / "text").interface

    assert shape_of(vision, "features", "probabilities") == ["(6) float32", "(3) float32"]
    assert shape_of(text, "features", "probabilities") == ["(4) float32", "(3) float32"]
