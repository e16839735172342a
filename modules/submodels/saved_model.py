"""Sub-models from SavedModel folders: any signature, from Keras, Keras 2 or plain TensorFlow."""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from tfx_fusion.modules.errors import UserError, first_line, suggestion
from tfx_fusion.modules.files import check_path
from tfx_fusion.modules.submodels.graph_safety import GRAPH, check_saved_model
from tfx_fusion.modules.submodels.interface import (
    Interface,
    LayerInfo,
    OutputInfo,
    TensorInfo,
    unique_names,
)
from tfx_fusion.modules.submodels.repeatable import differing
from tfx_fusion.modules.submodels.safe_operations import TEXT
from tfx_fusion.modules.tokens.loading import import_tensorflow_text

# Operations that change a variable.
WRITING = frozenset(
    {"Assign", "AssignAdd", "AssignSub", "AssignVariableOp", "AssignAddVariableOp",
     "AssignSubVariableOp"}
)  # fmt: skip

# Operations that draw numbers.
DRAWING = re.compile(
    "Random|Multinomial|TruncatedNormal|StatefulUniform|StatefulStandardNormal|^Rng"
    "|NonDeterministic|CandidateSampler|DistortedBoundingBox"
)


def load(path: Path, allow_ops: Collection[str] = ()) -> Any:
    """The loaded SavedModel, once its graph was checked; `allow_ops` as `check_saved_model` does.

    Raises UserError where its graph is unsafe or it does not load.
    """
    check_path(path, "the SavedModel")
    if check_saved_model(path, allow_ops) & TEXT:
        import_tensorflow_text()
    try:
        return tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises many types here, for the user all are one
        reason = first_line(error)
        raise UserError(f"{path}: TensorFlow cannot load the SavedModel: {reason}") from error


def pick_signature(path: Path, loaded: Any, signature: str | None) -> str:
    """The signature to call: the named one, else `serving_default`, else the only one."""
    names = list(loaded.signatures)
    if signature is not None:
        if signature not in names:
            raise UserError(
                f"{path}: it has no signature '{signature}'; {suggestion(signature, names)}"
            )
        return signature
    if "serving_default" in names:
        return "serving_default"
    if len(names) == 1:
        return names[0]
    raise UserError(
        f"{path}: its signatures are {', '.join(names) or 'none'}: name one by the key 'signature'"
    )


def _info(path: Path, spec: Any) -> dict[str, Any]:
    if spec.shape.rank is None:
        raise UserError(
            f"{path}: the tensor '{spec.name}' has no known rank; export with a known one"
        )
    return {"shape": tuple(spec.shape[1:].as_list()), "dtype": spec.dtype.name}


def _input(path: Path, spec: Any) -> TensorInfo:
    if spec.shape.rank == 0 or (spec.shape.rank and spec.shape[0] is not None):
        raise UserError(
            f"{path}: the tensor '{spec.name}' is {tuple(spec.shape)}, which takes no batch of any "
            "size: export with None as its first size"
        )
    return TensorInfo(**_info(path, spec))


def read_interface(path: Path, function: Any) -> Interface:
    """What a SavedModel's signature takes and gives. Sizes are those of the stored graph."""
    _, inputs = function.structured_input_signature
    drawn = drawn_outputs(function)
    parameters = sum(int(np.prod(variable.shape)) for variable in function.variables)
    return Interface(
        format="saved_model",
        # Sorted: TensorFlow loads them in another order in every process.
        inputs={name: _input(path, spec) for name, spec in sorted(inputs.items())},
        outputs={
            name: OutputInfo(**_info(path, spec), drawn=name in drawn)
            for name, spec in sorted(function.structured_outputs.items())
        },
        layers={
            name: LayerInfo(weights={name: int(np.prod(variable.shape))})
            for name, variable in named_variables(function).items()
        },
        parameters=parameters,
    )


def _nodes(function: Any) -> Iterator[Any]:
    """The nodes of a signature's graph, and of all that it calls."""
    graph = function.graph.as_graph_def()
    library = {found.signature.name: found.node_def for found in graph.library.function}
    seen: set[str] = set()
    waiting = list(graph.node)
    while waiting:
        node = waiting.pop()
        yield node
        called = {node.op, *(value.func.name for value in node.attr.values())}
        called |= {f.name for value in node.attr.values() for f in value.list.func}
        for name in called & library.keys() - seen:
            seen.add(name)
            waiting += library[name]


def check_stateless(path: Path, function: Any) -> None:
    """Raises UserError where a signature changes variables: what it gives depends on the past."""
    # Keras's random layers count how often they were called, in inference too, where they draw
    # nothing. Such a counter is of whole numbers.
    has_seeds = any("seed_generator_state" in variable.name for variable in function.variables)
    for node in _nodes(function):
        if has_seeds and node.attr["dtype"].type in (types_pb2.DT_INT64, types_pb2.DT_UINT32):
            continue
        if node.op in WRITING or node.op.startswith(("ResourceScatter", "ResourceStrided")):
            raise UserError(
                f"{path}: its signature changes a variable when it is called (the graph's node "
                f"'{node.name}' is a {node.op}), so that what it gives for a row depends on the "
                "rows before it: export a model that is not stateful"
            )


def drawn_outputs(function: Any) -> set[str]:
    """The outputs of a signature that differ from call to call for the same rows.

    Keras exports a layer that augments pictures so: it augments in each call. Operations that draw
    do not show it: in inference their numbers may go nowhere, as those of an LSTM with dropout, or
    be the same in each call.
    """
    if not any(DRAWING.search(node.op) for node in _nodes(function)):
        return set()
    inputs = {
        name: (spec.shape[1:].as_list(), spec.dtype.name)
        for name, spec in function.structured_input_signature[1].items()
    }

    def call(given: Mapping[str, np.ndarray]) -> Any:
        return function(**{name: tf.constant(value) for name, value in given.items()})

    return differing(call, inputs)


def named_variables(function: Any) -> dict[str, tf.Variable]:
    """Every variable that a signature reads, by its own name, made clean and unique."""
    clean = [
        re.sub(r"[^\w/]+", "_", variable.name.split(":")[0]).strip("_/") or "variable"
        for variable in function.variables
    ]
    return dict(zip(unique_names(clean), function.variables, strict=True))


def weights_of(function: Any) -> dict[str, np.ndarray]:
    """The value of every variable that a signature reads, by name."""
    return {name: variable.numpy() for name, variable in named_variables(function).items()}


def as_keras_variables(function: Any) -> dict[str, keras.Variable]:
    """The signature's variables as Keras variables on the same memory, by name, trainable or not.

    Keras's own `TFSMLayer` gives its variables names such as `:0`, with which Adam cannot make its
    slots; hence clean names here.
    """
    trainable = {id(variable) for variable in function.trainable_variables}
    return {
        name: keras.Variable(
            variable,
            dtype=variable.dtype.name,
            trainable=id(variable) in trainable,
            name=name.replace("/", "_"),
        )
        for name, variable in named_variables(function).items()
    }


def digest_architecture(path: Path) -> bytes:
    """Digest of the stored graph and of its assets, vocabularies for instance."""
    digest = hashlib.sha256((path / GRAPH).read_bytes())
    for asset in sorted(file for file in (path / "assets").rglob("*") if file.is_file()):
        digest.update(str(asset.relative_to(path)).encode())
        digest.update(asset.read_bytes())
    return digest.digest()
