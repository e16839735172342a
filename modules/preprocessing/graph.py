"""The Transform graph as a function: from raw features to what the fused model takes.

It is bound to the graph's own signature, whoever wrote its `preprocessing_fn`: outputs are found by
name, or by the name that a map gives, and their dtypes and shapes are fitted to what the fused
model takes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.errors import RunError, library_cause, suggestion
from tfx_fusion.modules.preprocessing.examples import (
    as_given,
    batch_size,
    fault,
    nothing,
    parsing,
    row_ids,
)
from tfx_fusion.modules.preprocessing.wanted import wanted_columns
from tfx_fusion.modules.spec import Feature, Label, TextFeature, length_name, variable_sequences
from tfx_fusion.modules.tokens.loading import load_saved_model

DTYPES = {"float32": tf.float32, "int64": tf.int64, "string": tf.string}
ROW_ID = "row_id"
# A node of every graph that this project's own `preprocessing_fn` makes, and of no other.
OWN_NODE = "tfx_fusion_row_id"


class TransformGraph(tf.Module):
    """Applies what Transform exported.

    TFT's own TransformFeaturesLayer is a Keras 2 model, which cannot nest in a Keras 3 one.
    """

    def __init__(
        self,
        path: str,
        features: Mapping[str, Feature],
        labels: Mapping[str, Label],
        names: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            path: the `transform_fn` folder of a Transform graph.
            features, labels: what the specification names.
            names: the graph's output for a feature or label, where it has another name.

        Raises RunError where a vocabulary has another length than when the graph was made of it.
        """
        super().__init__(name="transform_graph")
        self._imported = load_saved_model(path)
        if not hasattr(self._imported, "transform_fn"):
            raise RunError(
                f"{path}: expected a Transform graph of TensorFlow 2, found one of TensorFlow 1: "
                "run Transform without force_tf_compat_v1"
            )
        function = self._imported.transform_fn
        function = getattr(function, "concrete_functions", [function])[0]
        self._raw = dict(function.structured_input_signature[0][0])
        self._outputs = dict(function.structured_outputs)
        self._needs = _needed_inputs(function)
        self.is_own = any(node.name == OWN_NODE for node in function.graph.get_operations())
        if not names:
            _check_widths(features, self._outputs)
        self._sequences = variable_sequences(features)
        self._wanted = wanted_columns(features, labels)
        self._sources = {name: (names or {}).get(name, name) for name in self._wanted}
        misfits = {name: self._misfit(name) for name in self._wanted}
        self._misfits = {name: misfit for name, misfit in misfits.items() if misfit}
        self._bound = [name for name in self._wanted if name not in self._misfits]
        # In one go: what is added to a module's dictionary later cannot be saved with it.
        self._classes = {
            name: _class_table(part.classes) for name, part in self._wanted.items() if part.classes
        }

    def check(self, names: Iterable[str]) -> None:
        """Raises RunError with every reason for which the graph does not give some names."""
        problems = [self._misfits[name] for name in dict.fromkeys(names) if name in self._misfits]
        if problems:
            raise RunError("\n".join(problems))

    def input_specs(self, names: Iterable[str]) -> dict[str, tf.TensorSpec]:
        """The raw tensors that some names are computed from, as a serving request gives them.

        Those that the graph takes as sparse or ragged are padded, `(batch, values)`, with empty
        text or NaN in place of values that a row lacks.
        """
        given = {name: self._raw[name] for name in self._raw_of(names)}
        return {
            name: tf.TensorSpec(
                spec.shape if isinstance(spec, tf.TensorSpec) else (None, None), spec.dtype, name
            )
            for name, spec in given.items()
        }

    def parse(
        self, serialized: Any, names: Iterable[str] | None = None, transformed: bool = False
    ) -> dict[str, Any]:
        """Serialized tf.Examples `(batch,)` to transformed tensors `(batch, …)` by name.

        `transformed` examples are those that Transform has materialized. All that the graph gives
        is read unless `names` are given.
        """
        wanted = list(self._bound if names is None else names)
        found = tf.io.parse_example(serialized, self.example_spec(wanted, transformed))
        return self._fitted(found, wanted) if transformed else self(found, wanted)

    def label(self, serialized: Any, name: str, transformed: bool = False) -> Any:
        """A label of serialized tf.Examples `(batch,)`, as `parse` gives it.

        No image is decoded for it by this project's own Transform, which leaves labels as they are,
        nor by others where TensorFlow can leave that out.
        """
        if self.is_own and not transformed:
            found = tf.io.parse_example(serialized, {name: parsing(name, self._raw[name])})
            return self._fit(name, found[name])
        return self.parse(serialized, transformed=transformed)[name]

    def row_ids(self, serialized: Any, transformed: bool = False) -> Any:
        """The ids of rows `(batch,)` as text, empty where the examples have none."""
        given = self._outputs if transformed else self._raw
        if not isinstance(given.get(ROW_ID), tf.TensorSpec):
            return tf.fill(tf.shape(serialized), "")
        spec = {ROW_ID: parsing(ROW_ID, given[ROW_ID])}
        return row_ids(tf.io.parse_example(serialized, spec)[ROW_ID])

    def example_spec(
        self, names: Iterable[str] | None = None, transformed: bool = False
    ) -> dict[str, Any]:
        """How to parse a tf.Example for some names, or for all that the graph gives."""
        wanted = list(self._bound if names is None else names)
        given = self._outputs if transformed else self._raw
        needed = [self._sources[name] for name in wanted] if transformed else self._raw_of(wanted)
        return {name: parsing(name, given[name]) for name in needed}

    def __call__(
        self, raw: Mapping[str, Any], names: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Raw tensors `(batch, …)` to transformed ones: all that they suffice for, or `names`.

        Raises InvalidArgumentError, when it runs, for a length that its sequence cannot have, and
        for a label that is none of its classes.
        """
        if names is None:
            names = [name for name in self._bound if raw.keys() >= set(self._raw_of([name]))]
        return self._fitted(self._apply(raw), names)

    def unreadable(
        self, records: Sequence[bytes], transformed: bool = False
    ) -> tuple[int, str] | None:
        """The place of the first of some tf.Examples that cannot be read, and the reason.

        None where all can. They are read one by one, which is slow: for when reading has failed.
        """
        spec = self.example_spec(transformed=transformed)
        labels = [name for name in self._bound if name in self._classes]

        # As functions, of which TensorFlow leaves out what is not asked for.
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
        def given(serialized: Any) -> dict[str, Any]:
            found = tf.io.parse_example(serialized, spec)
            outputs = found if transformed else self._apply(found)
            return {name: outputs[self._sources[name]] for name in labels}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
        def parsed(serialized: Any) -> dict[str, Any]:
            return self.parse(serialized, transformed=transformed)

        for place, record in enumerate(records):
            features = tf.train.Example.FromString(record).features.feature
            for name, how in spec.items():
                wrong = fault(features.get(name), how)
                if wrong:
                    by = "what Transform has written" if transformed else "the Transform graph"
                    return place, f"column '{name}': {wrong}, by {by}"
            try:
                for name, value in given(tf.constant([record])).items() if labels else ():
                    wrong = self._class_fault(name, value)
                    if wrong:
                        return place, wrong
                parsed(tf.constant([record]))
            except tf.errors.InvalidArgumentError as error:
                return place, library_cause(error)
        return None

    def _apply(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """All outputs for raw tensors; those that are computed from absent ones are worth nothing.

        Where TensorFlow traces, it leaves out those that are not taken, unless they hold a check
        (`tf.debugging.Assert`): so only labels should be absent, which hold none.
        """
        batch = batch_size(next(iter(raw.values())))
        full = {
            name: as_given(raw[name], spec) if name in raw else nothing(spec, batch)
            for name, spec in self._raw.items()
        }
        return dict(self._imported.transform_fn(full))

    def _raw_of(self, names: Iterable[str]) -> list[str]:
        """The raw features that some names are computed from, in the order of the graph's."""
        needed = {raw for name in names for raw in self._needs[self._sources[name]]}
        return [name for name in self._raw if name in needed]

    def _misfit(self, name: str) -> str:
        """What is wrong with an output for a name; empty where nothing is."""
        wanted, source = self._wanted[name], self._sources[name]
        found = self._outputs.get(source)
        expected = f"{wanted.key}: expected an output '{source}' of the Transform graph, {wanted}"
        if found is None:
            return (
                f"{expected}, found none; {suggestion(source, self._outputs)}: return it from "
                f"preprocessing_fn, or give the output's name for '{name}' in names"
            )
        if not isinstance(found, tf.TensorSpec):
            return f"{expected}, found a sparse or ragged one: make it dense in preprocessing_fn"
        if found.shape.rank is None:
            return f"{expected}, found one of unknown shape: set it in preprocessing_fn (set_shape)"
        shown = f"found {found.dtype.name} {str(found.shape).replace('None', 'batch', 1)}"
        kinds = {"string": found.dtype == tf.string, "int64": _is_whole(found.dtype),
                 "float32": _is_whole(found.dtype) or found.dtype.is_floating}  # fmt: skip
        if not kinds[wanted.dtype] and not (wanted.classes and kinds["string"]):
            texts = " or the text of a class" if wanted.classes else ""
            return f"{expected}{texts}, {shown}: cast it in preprocessing_fn"
        if None in found.shape[1:]:
            return ""  # known when rows are read
        if [size for size in found.shape[1:] if size != 1] != [n for n in wanted.shape if n != 1]:
            return f"{expected}, {shown}: reshape it in preprocessing_fn"
        return ""

    def _fitted(self, outputs: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """The graph's outputs in the shapes and dtypes that are wanted."""
        return {name: self._fit(name, outputs[self._sources[name]]) for name in names}

    def _fit(self, name: str, tensor: Any) -> Any:
        wanted = self._wanted[name]
        if not tensor.shape.is_compatible_with((None, *wanted.shape)) or None in tensor.shape[1:]:
            shape = tf.constant(wanted.shape, tf.int32)
            if None in tensor.shape[1:]:
                sizes = tf.shape(tensor)[1:]
                right = _apart_from_ones(sizes) == _apart_from_ones(shape)
                tensor = _checked(tensor, right, f"{wanted.key}: expected {wanted}, found", sizes)
            # By rows: the number of values as a whole might fit another number of rows.
            tensor = tf.reshape(tensor, tf.concat([tf.shape(tensor)[:1], shape], axis=0))
            tensor = tf.ensure_shape(tensor, (None, *wanted.shape))
        if wanted.classes:
            given = tensor
            if tensor.dtype == tf.string:
                tensor = self._classes[name].lookup(tensor)
            tensor = tf.cast(tensor, tf.int64)
            right = tf.reduce_all((tensor >= 0) & (tensor < len(wanted.classes)))
            return _checked(tensor, right, f"{wanted.key}: expected its classes, found", given)
        for sequence, part in self._sequences.items():
            if name == length_name(sequence):
                least, most = 0 if part.missing else 1, part.shape[0]
                wrong = (tensor < least) | (tensor > most)
                message = f"{name}: expected {least} to {most} steps, found "
                found = tf.boolean_mask(tensor, wrong)
                tensor = _checked(tensor, tf.logical_not(tf.reduce_any(wrong)), message, found)
        return tf.cast(tensor, DTYPES[wanted.dtype])

    def _class_fault(self, name: str, tensor: Any) -> str:
        """What is wrong with the only value of a label; empty where it is one of its classes."""
        [value] = tensor.numpy().ravel()
        classes = self._wanted[name].classes
        if isinstance(value, bytes):
            found: str | int = value.decode("utf-8", "replace")
            right, expected = found in classes, ", ".join(classes)
        else:
            found = int(value)
            right = 0 <= found < len(classes)
            expected = f"a class index from 0 to {len(classes) - 1}, in the order of its classes"
        return "" if right else (
            f"{self._wanted[name].key}: expected {expected}, found {found!r} in the Transform "
            f"graph's output '{self._sources[name]}'"
        )  # fmt: skip


def _needed_inputs(function: Any) -> dict[str, frozenset[str]]:
    """The raw features that each output of a Transform graph is computed from."""
    signature = function.structured_input_signature[0][0]
    # Placeholders are in the order of the flattened signature.
    names = [
        name
        for name in sorted(signature)
        for _ in tf.nest.flatten(signature[name], expand_composites=True)
    ]
    raw_of = {node.op.name: name for node, name in zip(function.inputs, names, strict=False)}
    ends = tf.nest.pack_sequence_as(
        function.structured_outputs, function.outputs, expand_composites=True
    )
    found = {}
    for output, tensor in ends.items():
        seen: set[str] = set()
        waiting = [part.op for part in tf.nest.flatten(tensor, expand_composites=True)]
        while waiting:
            node = waiting.pop()
            if node.name not in seen:
                seen.add(node.name)
                waiting += [given.op for given in node.inputs]
        found[output] = frozenset(raw_of[name] for name in seen & raw_of.keys())
    return found


def _class_table(classes: tuple[str, ...]) -> tf.lookup.StaticHashTable:
    places = tf.range(len(classes), dtype=tf.int64)
    pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(classes), places)
    return tf.lookup.StaticHashTable(pairs, -1)


def _checked(tensor: Any, right: Any, message: str, found: Any) -> Any:
    """A tensor, once a condition holds; else InvalidArgumentError with a message."""
    known = tf.debugging.Assert(right, [message, found])
    with tf.control_dependencies([known] if known is not None else []):
        return tf.identity(tensor)


def _apart_from_ones(shape: Any) -> Any:
    """The sizes of a shape that are not 1, as text."""
    return tf.strings.reduce_join(tf.strings.as_string(shape[shape != 1]), separator=",")


def _is_whole(dtype: tf.DType) -> bool:
    return dtype.is_integer or dtype.is_bool


def _check_widths(features: Mapping[str, Feature], made: Mapping[str, tf.TensorSpec]) -> None:
    """Compares the lengths of vocabularies, which is all that is read of them after Transform."""
    for name, feature in features.items():
        if not isinstance(feature, TextFeature) or feature.encoding != "multi_hot":
            continue
        if name not in made or made[name].shape.rank != 2:
            continue  # of another's making
        [width], [wanted] = made[name].shape[1:], feature.tensor_shape
        if width != wanted:
            raise RunError(
                f"vocabulary {feature.vocabulary}: the file changed since Transform read it "
                f"({width} tokens then, {wanted} now): run again"
            )
