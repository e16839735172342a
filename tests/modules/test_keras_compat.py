"""Each use of Keras's private API does what callers rely on; a new Keras that changes it fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules import keras_compat
from tfx_fusion.modules.keras_compat import (
    all_layers,
    calls_of,
    discard_losses,
    fresh_layer_names,
    graph_of,
    hub_preset_loader,
    hub_words,
    last_inputs,
    producer,
    run_graph,
    set_mask,
    takes_training,
)

MODULES = Path(keras_compat.__file__).parent
PRIVATE = re.compile(
    r"keras\.src|keras_hub\.src|\._(flatten_layers|keras_history|keras_mask|nodes_by_depth|functional"
    r"|inbound_nodes|standardize_inputs|run_through_graph|clear_losses|call_has_training_arg)\b"
)


def twice_called() -> keras.Model:
    """`shared` is called twice inside the model and once before."""
    shared = keras.layers.Dense(2, name="shared")
    shared(keras.Input((2,)))
    entry = keras.Input((2,), name="entry")
    return keras.Model(entry, shared(shared(entry)), name="twice")


def test_private_api_is_used_in_one_file_only() -> None:
    found = [
        f"{file.relative_to(MODULES)}: {match[0]}"
        for file in sorted(MODULES.rglob("*.py"))
        if file.name != "keras_compat.py"
        for match in PRIVATE.finditer(file.read_text())
    ]
    assert found == []


def test_a_tensor_leads_to_the_operation_and_the_output_that_gives_it() -> None:
    entry = keras.Input((3, 2), name="steps")
    sequence, state = keras.layers.GRU(4, return_state=True, name="recurrent")(entry)

    assert producer(entry).operation.name == "steps"
    assert producer(entry).outputs == 1
    for index, tensor in enumerate((sequence, state)):
        source = producer(tensor)
        assert (source.operation.name, source.index, source.outputs) == ("recurrent", index, 2)


def test_only_calls_inside_a_model_count_in_the_order_of_the_data() -> None:
    model = twice_called()

    nodes = calls_of(model)

    assert [node.operation.name for node in nodes] == ["entry", "shared", "shared"]
    assert [node.is_input for node in nodes] == [True, False, False]
    assert nodes[2].input_tensors == nodes[1].outputs
    assert nodes[2].outputs == model.outputs


def test_the_arguments_of_a_call_can_be_filled_with_other_tensors() -> None:
    first = calls_of(twice_called())[1]
    other = keras.Input((2,))

    args, kwargs = first.arguments.fill_in({id(first.input_tensors[0]): other})

    assert args == (other,)
    assert not any(kwargs.values())


def test_the_last_inputs_are_those_of_the_last_call() -> None:
    layer = keras.layers.Add()
    before, one, other = (keras.Input((2,)) for _ in range(3))
    layer([before, before])
    layer([one, other])

    assert [id(tensor) for tensor in last_inputs(layer)] == [id(one), id(other)]


class Subclassed(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


def test_functional_and_sequential_models_have_a_graph_and_others_have_none() -> None:
    functional = twice_called()
    sequential = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    assert graph_of(functional) is functional
    graph = graph_of(sequential)
    assert graph is not None
    assert len(calls_of(graph)) == 2
    assert graph_of(Subclassed()) is None
    assert graph_of(keras.layers.Dense(1)) is None


@pytest.mark.parametrize("kind", [lambda model: model, lambda m: keras.Function(m.input, m.output)])
def test_a_graph_runs_with_other_operations_in_place_of_its_own(kind: Any) -> None:
    model = twice_called()
    values = np.ones((1, 2), "float32")
    called: list[str] = []

    def replace(operation: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            called.append(operation.name)
            return operation(*args, **kwargs)

        return call

    result = run_graph(kind(model), values, replace)

    assert called == ["shared", "shared"]
    np.testing.assert_array_equal(result, model(values))


def test_a_functional_model_run_so_still_casts_its_inputs() -> None:
    model = twice_called()

    result = run_graph(model, np.ones((1, 2), "int64"), lambda operation: operation)

    np.testing.assert_array_equal(result, model(np.ones((1, 2), "float32")))


def test_a_layer_says_whether_training_changes_it() -> None:
    assert takes_training(keras.layers.Dropout(0.5))
    assert not takes_training(keras.layers.Flatten())
    assert not takes_training(producer(keras.ops.relu(keras.Input((2,)))).operation)


def test_all_layers_are_found_however_deeply_nested() -> None:
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="deep")], name="inner")
    entry = keras.Input((2,))
    model = keras.Model(entry, inner(entry), name="outer")

    names = [layer.name for layer in all_layers(model)]

    assert {"outer", "inner", "deep"} <= set(names)
    assert len(names) == len(set(names))


def test_losses_of_a_call_can_be_discarded() -> None:
    layer = keras.layers.Dense(1, activity_regularizer="l2")
    layer(np.ones((1, 2), "float32"))
    assert len(layer.losses) == 1

    discard_losses(layer)

    assert layer.losses == []


def test_a_mask_set_on_a_tensor_is_seen_by_the_next_layer() -> None:
    steps = keras.ops.reshape(np.array([1.0, 3.0, 99.0], "float32"), (1, 3, 1))

    set_mask(steps, keras.ops.convert_to_tensor([[True, True, False]]))

    assert float(keras.layers.GlobalAveragePooling1D()(steps)[0, 0]) == 2.0


def test_layers_without_a_name_are_numbered_from_the_start_and_then_go_on() -> None:
    before = keras.layers.Dense(1).name
    with fresh_layer_names():
        assert [keras.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    after = keras.layers.Dense(1).name

    def number(name: str) -> int:
        return int(name.partition("_")[2] or 0)

    assert number(after) == number(before) + 1


def test_a_loader_of_a_preset_has_read_the_architecture_only(tmp_path: Path) -> None:
    hub = pytest.importorskip("keras_hub")
    backbone = hub.models.BertBackbone(
        vocabulary_size=10, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4,
        max_sequence_length=6,
    )  # fmt: skip
    backbone.save_to_preset(str(tmp_path / "bert"))

    loader = hub_preset_loader(str(tmp_path / "bert"))

    assert loader.config["class_name"] == "BertBackbone"
    assert loader.check_backbone_class() is hub.models.BertBackbone
    assert loader.load_backbone(hub.models.BertBackbone, True).count_params() > 0


def test_the_words_of_keras_hub_are_those_of_its_tokenizer() -> None:
    texts = ["Über, 漢x\u200by", "", "Straße!"]
    pieces = sorted({"[UNK]", *"überstaxy,漢!", "über", "strasse", "x", "y"})
    tokenizer = keras_hub.tokenizers.WordPieceTokenizer(pieces, lowercase=True, dtype="string")

    found = hub_words(tf.constant(texts), lowercase=True, strip_accents=False, split_on_cjk=True)

    assert [[word.decode() for word in words] for words in found.to_list()] == [
        list(tokenizer(text)) for text in texts
    ]
