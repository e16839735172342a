"""The one place for private API of Keras and KerasHub, each use a function of its own.

Keras keeps no promise about these names. `tests/modules/test_keras_compat.py` has a test of each
that fails when a new version changes it, and all callers stay as they are once it is put right
here. Everything else in `modules` uses public API only.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras.src.backend import set_keras_mask
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional

# How the modules begin whose names Keras stores for what it exports by no public one.
PRIVATE = "keras.src."
_NAME_COUNTS = "object_name_uids"


@dataclass(frozen=True)
class Producer:
    """What computes a symbolic tensor: the output `index` of `outputs` that an operation gives."""

    operation: Any
    index: int
    outputs: int


def producer(tensor: keras.KerasTensor) -> Producer:
    """The operation that computes a symbolic tensor, and which of its outputs the tensor is."""
    operation, node_index, tensor_index = tensor._keras_history
    outputs = operation._inbound_nodes[node_index].output_tensors
    return Producer(operation, tensor_index, len(outputs))


def calls_of(model: keras.Model) -> list[Any]:
    """The calls of operations (`Node`s) that make up a functional model, in the data's order.

    An operation may have been called elsewhere too, for instance while a nested model was made, so
    `operation._inbound_nodes` has more than these.
    """
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def last_inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    """The symbolic tensors that a layer was last called with."""
    return layer._inbound_nodes[-1].input_tensors


def graph_of(operation: Any) -> keras.Model | None:
    """The functional model behind a nested model.

    None for a layer, and for a model with a `call` of its own, whose graph Keras does not know.
    """
    call = getattr(type(operation), "call", None)
    if call is keras.Sequential.call:
        return operation._functional  # a Sequential builds one behind itself
    return operation if call is Functional.call else None


def run_graph(function: Any, inputs: Any, replace: Callable[[Any], Callable[..., Any]]) -> Any:
    """Runs a functional model or `keras.Function`, calling `replace(operation)` for each operation.

    Unlike `function(inputs)`, which calls the operations themselves. `inputs` and the result have
    the function's own structure.
    """
    if isinstance(function, Functional):
        # Casts to the inputs' dtypes and adds missing axes, as calling the model does.
        inputs = function._standardize_inputs(inputs)
    return function._run_through_graph(inputs, operation_fn=replace)


def takes_training(operation: Any) -> bool:
    """Whether an operation's `call` has an argument `training`, so may differ in training."""
    return getattr(operation, "_call_has_training_arg", False)


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A model and every layer in it, however deeply nested; `model.layers` has the first level."""
    return list(model._flatten_layers())


def discard_losses(layer: keras.layers.Layer) -> None:
    """Removes the losses that the last call of a layer and of those in it has added."""
    layer._clear_losses()


def set_mask(tensor: Any, mask: Any) -> None:
    """Attaches a mask `(batch, steps)` to a tensor, as a layer's `compute_mask` would."""
    set_keras_mask(tensor, mask)


@contextmanager
def fresh_layer_names() -> Iterator[None]:
    """Numbers layers without a name of their own from the start again: `dense`, `dense_1`.

    Keras counts over all layers that the process has made. KerasHub's models do not store their
    layers, they make them anew when loaded: only so do these have the same names in every process,
    whatever was loaded before.
    """
    before = global_state.get_global_attribute(_NAME_COUNTS)
    global_state.set_global_attribute(_NAME_COUNTS, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_NAME_COUNTS, before)


def skip_initializers() -> None:
    """From now on, weights on Keras's NumPy backend are zeros that take neither time nor memory.

    For inferring shapes only. Else an LSTM of 2,000 units is decomposed (QR) to be made orthogonal.
    """
    from keras.src.backend.numpy.core import Variable

    def zeros(variable: Any, initializer: Any) -> None:
        zero = variable._convert_to_tensor(0, dtype=variable._dtype)
        variable._initialize(np.broadcast_to(zero, variable._shape))

    Variable._initialize_with_initializer = zeros


def hub_preset_loader(preset: str) -> Any:
    """KerasHub's loader of a preset, which has read its architecture (`.config`) and no more.

    The public `from_preset` would make the model before the architecture can be checked.
    """
    from keras_hub.src.utils.preset_utils import get_preset_loader

    return get_preset_loader(preset)


def hub_words(texts: Any, **options: bool) -> Any:
    """The words `(batch, None)` of texts `(batch,)` as KerasHub's `WordPieceTokenizer` makes them
    inside a graph, before its pieces.

    `options` are its `lowercase`, `strip_accents` and `split_on_cjk`.
    """
    from keras_hub.src.tokenizers.word_piece_tokenizer import pretokenize

    return pretokenize(texts, **options)
