"""What a SavedModel may not do, in whatever part of its graph: write, read, run or hide."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from small_models import refusal
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfx_fusion.modules.submodels import safe_operations
from tfx_fusion.modules.submodels.graph_safety import check_saved_model
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel

NUMBER = [tf.TensorSpec((None, 1), tf.float32, name="number")]
RAW = tf.raw_ops
OUTSIDE = "/tmp/never_written"  # noqa: S108


def save(path: Path, compute: Callable[[Any], Any], module: tf.Module | None = None) -> Path:
    """A SavedModel whose signature computes something before it returns its input."""

    @tf.function(input_signature=NUMBER)
    def run(number: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([compute(number)]):
            return {"same": tf.identity(number)}

    tf.saved_model.save(module or tf.Module(), str(path), {"serving_default": run})
    return path


def dataset(*_: Any) -> Any:
    return RAW.RangeDataset(
        start=tf.constant(0, tf.int64),
        stop=tf.constant(1, tf.int64),
        step=tf.constant(1, tf.int64),
        output_types=[tf.int64],
        output_shapes=[()],
    )


def records(_: Any) -> Any:
    return RAW.DatasetToTFRecord(
        input_dataset=dataset(), filename=OUTSIDE, compression_type="", name="sneaky"
    )


def checkpoint(number: Any) -> Any:
    return RAW.SaveV2(
        prefix=OUTSIDE, tensor_names=["x"], shape_and_slices=[""], tensors=[number], name="sneaky"
    )


def debug(number: Any) -> Any:
    url = f"file://{OUTSIDE}"
    return RAW.DebugIdentityV2(input=number, debug_urls=[url], name="sneaky")


def cache(_: Any) -> Any:
    return RAW.CacheDatasetV2(
        input_dataset=dataset(),
        filename=OUTSIDE,
        cache=RAW.DummyMemoryCache(),
        output_types=[tf.int64],
        output_shapes=[()],
        name="sneaky",
    )


def summary(_: Any) -> Any:
    writer = RAW.SummaryWriter(shared_name="", container="")
    return RAW.CreateSummaryFileWriter(
        writer=writer,
        logdir=OUTSIDE,
        max_queue=tf.constant(1),
        flush_millis=tf.constant(1),
        filename_suffix="",
        name="sneaky",
    )


def lines(_: Any) -> Any:
    return RAW.TextLineDataset(
        filenames="/etc/passwd",
        compression_type="",
        buffer_size=tf.constant(0, tf.int64),
        name="sneaky",
    )


def hidden_graph(_: Any) -> Any:
    graph = tf.Graph()
    with graph.as_default():
        tf.io.write_file(OUTSIDE, "x")
    return RAW.DatasetFromGraph(graph_def=graph.as_graph_def().SerializeToString(), name="sneaky")


def table(path: str) -> Callable[[Any], Any]:
    def fill(_: Any) -> Any:
        handle = RAW.AnonymousHashTable(key_dtype=tf.string, value_dtype=tf.int64)
        return RAW.InitializeTableFromTextFileV2(
            table_handle=handle, filename=path, key_index=-2, value_index=-1, name="sneaky"
        )

    return fill


@pytest.mark.parametrize(
    ("compute", "operation"),
    [
        (records, "DatasetToTFRecord"),
        (checkpoint, "SaveV2"),
        (cache, "CacheDatasetV2"),
        (debug, "DebugIdentityV2"),
        (summary, "CreateSummaryFileWriter"),
        (lines, "TextLineDataset"),
        (hidden_graph, "DatasetFromGraph"),
        (lambda _: tf.io.write_file(OUTSIDE, "x", name="sneaky"), "WriteFile"),
        (lambda _: tf.io.read_file("/etc/hostname", name="sneaky"), "ReadFile"),
        (lambda _: tf.io.matching_files("/etc/*", name="sneaky"), "MatchingFiles"),
    ],
)
def test_an_operation_that_is_not_known_to_be_safe_is_refused_by_its_name(
    compute: Callable[[Any], Any], operation: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "sneaky", compute)

    message = refusal(path)

    assert f"{operation} (node 'sneaky')" in message
    assert operation in message.partition("write allow_ops: ")[2]
    assert not Path(OUTSIDE).exists()


@pytest.mark.parametrize("branch", ["cond", "while", "nested"])
def test_an_operation_is_found_in_every_function(branch: str, tmp_path: Path) -> None:
    def write() -> Any:
        return tf.io.write_file(OUTSIDE, "x", name="sneaky")

    def in_cond(number: Any) -> Any:
        def then() -> Any:
            with tf.control_dependencies([write()]):
                return tf.constant(1)

        return tf.cond(tf.reduce_any(number > 1), then, lambda: tf.constant(0))

    def in_while(number: Any) -> Any:
        def body(step: Any) -> Any:
            with tf.control_dependencies([write()]):
                return step + 1

        return tf.while_loop(lambda step: step < tf.shape(number)[0], body, [0])[0]

    def nested(number: Any) -> Any:
        return tf.function(lambda x: tf.function(in_cond)(x))(number)

    path = save(tmp_path / "deep", {"cond": in_cond, "while": in_while, "nested": nested}[branch])

    assert "found WriteFile (node '" in refusal(path)


def test_an_operation_that_was_allowed_by_its_name_passes(tmp_path: Path) -> None:
    path = save(tmp_path / "counted", lambda _: RAW.Timestamp())

    assert "write allow_ops: [Timestamp]" in refusal(path)
    assert inspect_submodel(path, allow_ops=["Timestamp"]).interface.inputs.keys() == {"number"}


@pytest.mark.parametrize("file", ["/etc/passwd", "assets/../../x"])
def test_a_table_that_is_filled_from_a_file_outside_is_refused(file: str, tmp_path: Path) -> None:
    path = save(tmp_path / "table", table(file))

    assert refusal(path).startswith(
        f"{path}: the graph's node 'sneaky' fills a table from a file that is not one of the "
        "model's own assets"
    )


class Vocabulary(tf.Module):
    """A table of an asset, and a table that grows."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        words = tf.lookup.TextFileInitializer(
            str(file),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.words = tf.lookup.StaticHashTable(words, -1)
        self.counts = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)
        self.scale = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def find(self, word: Any) -> dict[str, Any]:
        """Where a word stands in the vocabulary."""
        place = tf.cast(self.words.lookup(word) + self.counts.lookup(word), tf.float32)
        return {"place": place * self.scale}


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("one\ntwo\n")
    module = Vocabulary(file)
    path = tmp_path / "vocabulary"
    tf.saved_model.save(module, str(path), {"serving_default": module.find})
    return path


def changed(path: Path, change: Callable[[meta_graph_pb2.MetaGraphDef], Any]) -> Path:
    """The SavedModel with its graph changed."""
    file = path / "saved_model.pb"
    stored = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(stored.meta_graphs[0])
    file.write_bytes(stored.SerializeToString())
    return path


def test_a_table_of_an_asset_passes(vocabulary: Path) -> None:
    assert {"HashTableV2", "InitializeTableFromTextFileV2"} <= check_saved_model(vocabulary)


@pytest.mark.parametrize("name", ["../../words.txt", "/etc/passwd", "..\\words.txt", ""])
def test_an_asset_outside_of_the_folder_is_refused(name: str, vocabulary: Path) -> None:
    def move(meta_graph: Any) -> None:
        meta_graph.asset_file_def[0].filename = name

    assert refusal(changed(vocabulary, move)) == (
        f"{vocabulary}: expected assets in the model's own folder, found '{name}': export the "
        "model again"
    )


def test_a_link_out_of_the_folder_is_neither_read_nor_copied(
    vocabulary: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret\n")
    (vocabulary / "assets" / "words.txt").unlink()
    (vocabulary / "assets" / "words.txt").symlink_to(secret)

    message = refusal(vocabulary)

    assert message.startswith(f"{vocabulary}/assets/words.txt: expected the model's own file, ")
    with pytest.raises(Exception, match="found a link to"):
        copy_submodel(vocabulary, tmp_path / "copy")
    assert not (tmp_path / "copy" / "model").exists()


def test_a_link_to_the_folder_itself_and_one_inside_of_it_pass(
    vocabulary: Path, tmp_path: Path
) -> None:
    words = vocabulary / "assets" / "words.txt"
    shutil.move(words, words.with_name("real.txt"))
    words.symlink_to("real.txt")
    (tmp_path / "link").symlink_to(vocabulary)

    assert check_saved_model(tmp_path / "link")


def test_the_table_s_initializer_cannot_be_called_with_another_file(vocabulary: Path) -> None:
    def call(meta_graph: Any) -> None:
        functions = meta_graph.graph_def.library.function
        [fill] = [f for f in functions if any("FromTextFile" in n.op for n in f.node_def)]
        [answer] = [f for f in functions if "signature_wrapper" in f.signature.name]
        path = answer.node_def.add(name="path", op="Const")
        path.attr["dtype"].type = tf.string.as_datatype_enum
        path.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/passwd"))
        node = answer.node_def.add(name="call", op="StatefulPartitionedCall")
        node.input.extend(["path:output:0", answer.signature.input_arg[1].name])
        node.attr["f"].func.name = fill.signature.name

    assert "fills a table from a file that is not one of" in refusal(changed(vocabulary, call))


def test_what_only_the_saver_may_do_is_refused_where_an_answer_needs_it(vocabulary: Path) -> None:
    def call(meta_graph: Any) -> None:
        functions = meta_graph.graph_def.library.function
        [saver] = [f for f in functions if "traced_save" in f.signature.name]
        [answer] = [f for f in functions if "signature_wrapper" in f.signature.name]
        answer.node_def.add(name="call", op="StatefulPartitionedCall").attr[
            "f"
        ].func.name = saver.signature.name

    assert "SaveV2 (node 'SaveV2')" in refusal(changed(vocabulary, call))


@pytest.mark.parametrize("what", ["node", "function", "operation"])
def test_a_name_that_stands_twice_is_refused(what: str, vocabulary: Path) -> None:
    def double(meta_graph: Any) -> None:
        graph = meta_graph.graph_def
        if what == "node":
            graph.node.add().CopyFrom(graph.node[0])
        elif what == "function":
            graph.library.function.add().CopyFrom(graph.library.function[0])
        else:
            graph.library.function.add().signature.name = "Identity"

    message = refusal(changed(vocabulary, double))

    assert " 2 times: " in message or "has the name of the operation Identity" in message


def test_a_model_of_tensorflow_1_restores_its_own_variables_and_no_others(tmp_path: Path) -> None:
    def export(path: Path) -> Path:
        v1 = tf.compat.v1
        with tf.Graph().as_default(), v1.Session() as session:
            number = v1.placeholder(tf.float32, (None, 1), name="number")
            scale = v1.get_variable("scale", initializer=3.0)
            session.run(v1.global_variables_initializer())
            v1.saved_model.simple_save(
                session, str(path), {"number": number}, {"y": number * scale}
            )
        return path

    good, bad = export(tmp_path / "good"), export(tmp_path / "bad")

    def elsewhere(meta_graph: Any) -> None:
        [restore] = [n for n in meta_graph.graph_def.node if n.op == "RestoreV2"]
        path = meta_graph.graph_def.node.add(name="path", op="Const")
        path.attr["dtype"].type = tf.string.as_datatype_enum
        path.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/passwd"))
        restore.input[0] = "path"

    assert "RestoreV2" in check_saved_model(good)
    assert "restores the variables from another place" in refusal(changed(bad, elsewhere))


def test_models_of_keras_pass(tmp_path: Path) -> None:
    """Recurrent layers, lookups, random layers and images bring most kinds of operations."""
    text = keras.layers.TextVectorization(output_sequence_length=4, vocabulary=["a", "b"])
    words = keras.Input((), dtype="string", name="words")
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Bidirectional(keras.layers.LSTM(2))(
        keras.layers.Embedding(9, 3, mask_zero=True)(text(words))
    )
    y = keras.layers.RandomRotation(0.1)(keras.layers.RandomFlip()(image))
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(y))
    y = keras.layers.GRU(2)(keras.layers.Reshape((-1, 2))(keras.layers.MaxPooling2D()(y)))
    merged = keras.layers.Dropout(0.1)(keras.layers.Concatenate()([x, y]))
    model = keras.Model([words, image], keras.layers.Dense(1)(merged))
    model.export(tmp_path / "keras", verbose=False)

    assert check_saved_model(tmp_path / "keras")


def test_the_operations_that_are_known_to_be_safe_exist_and_name_no_file() -> None:
    import tensorflow_text  # noqa: F401  registers its operations

    found = {name: op_def_registry.get(name) for name in safe_operations.SAFE}

    assert [name for name, definition in found.items() if definition is None] == []
    stateful = {name for name, definition in found.items() if definition.is_stateful}
    assert stateful & safe_operations.PURE == set()
    with_files = {
        name
        for name, definition in found.items()
        for part in [*definition.input_arg, *definition.attr]
        if any(word in part.name for word in ("file", "path", "dir_", "address", "url"))
    }
    # Of these the one input is followed to its asset, the other counts the best answers.
    assert with_files == {
        "CTCBeamSearchDecoder",
        "InitializeTableFromTextFile",
        "InitializeTableFromTextFileV2",
    }
