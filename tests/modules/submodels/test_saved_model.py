"""What is read of a SavedModel before it is used: its interface, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from small_models import refusal, save_two_signatures

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.inspection import inspect_submodel


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

    message = refusal(path)

    assert f"{path}: " in message
    assert f"{operation} (node 'sneaky')" in message or "'sneaky' prints to file://" in message


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


class _Counter(tf.Module):
    def __init__(self) -> None:
        self.calls = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def count(self, x: Any) -> dict[str, Any]:
        return {"y": x + self.calls.assign_add(1.0)}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def read(self, x: Any) -> dict[str, Any]:
        return {"y": x + self.calls}


def test_a_signature_that_changes_a_variable_is_refused(tmp_path: Path) -> None:
    module = _Counter()
    signatures = {"count": module.count, "read": module.read}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)

    with pytest.raises(UserError, match="its signature changes a variable when it is called"):
        inspect_submodel(tmp_path / "model", "count")
    assert inspect_submodel(tmp_path / "model", "read").interface.outputs


class _Noisy(tf.Module):
    def __init__(self) -> None:
        self.generator = tf.random.Generator.from_seed(1)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def operation(self, x: Any) -> dict[str, Any]:
        return {"y": x + tf.random.normal((2,), seed=3)}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def generated(self, x: Any) -> dict[str, Any]:
        return {"y": x + self.generator.normal((2,))}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def projected(self, x: Any) -> dict[str, Any]:
        return {"y": x @ tf.random.stateless_normal((2, 2), seed=(1, 2))}


def test_an_output_that_differs_from_call_to_call_is_marked(tmp_path: Path) -> None:
    module = _Noisy()
    names = ("operation", "generated", "projected")
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)

    def drawn(name: str) -> bool:
        return inspect_submodel(tmp_path / "model", name).interface.outputs["y"].drawn

    assert {name: drawn(name) for name in names} == {
        "operation": True, "generated": True, "projected": False,
    }  # fmt: skip
    assert inspect_submodel(tmp_path / "model", "generated") == inspect_submodel(
        tmp_path / "model", "generated"
    )


@pytest.mark.parametrize(
    ("layer", "shape", "drawn"),
    [
        (keras.layers.RandomFlip(), (4, 4, 3), True),
        (keras.layers.LSTM(1, dropout=0.5, recurrent_dropout=0.5), (2, 1), False),
    ],
    ids=["flip", "lstm"],
)
def test_keras_exports_layers_that_augment_as_in_training(
    layer: keras.layers.Layer, shape: tuple[int, ...], drawn: bool, tmp_path: Path
) -> None:
    entry = keras.Input(shape)
    keras.Model(entry, layer(entry)).export(tmp_path / "exported", verbose=False)

    [output] = inspect_submodel(tmp_path / "exported").interface.outputs.values()

    assert output.drawn is drawn
