"""The fused model: sub-models, merges and new layers joined as the specification says.

The same code joins real sub-models for training and bare interfaces for a check, so that what a
check accepts is what training builds.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import keras

from tfx_fusion.modules import spec
from tfx_fusion.modules.errors import Problem, SpecificationError, first_line, suggestion
from tfx_fusion.modules.graph.feature_inputs import FeatureInputs
from tfx_fusion.modules.graph.layers import (
    InterfaceLayer,
    check_dtype,
    fitted,
    new_layer,
    own_seed,
    shape_text,
)
from tfx_fusion.modules.graph.merges import check_inputs, new_merge
from tfx_fusion.modules.graph.missing import Absence, Finite, Replacement, check_replaceable
from tfx_fusion.modules.graph.outputs import LabelUnits, prediction
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.submodels.flatten import scope_name
from tfx_fusion.modules.submodels.interface import Interface, OpenSubmodel
from tfx_fusion.modules.submodels.keras_file import activation_of


@dataclass
class Joined:
    """The parts of a fused graph by the names of the specification.

    `tensors` has a sub-model's outputs as `NAME.TAP`; `resolved` has for each reference its key in
    there, `taps` the outputs that are taken of each imported sub-model. `replacements` has, by
    reference, what stands for a missing feature where its branch joins others. `units` has, by
    output, the layer that gives predictions in the units of a label that is normalized.
    """

    tensors: dict[str, keras.KerasTensor]
    interfaces: dict[str, Interface]
    resolved: dict[str, str] = field(default_factory=dict)
    taps: dict[str, list[str]] = field(default_factory=dict)
    submodels: dict[str, keras.layers.Layer] = field(default_factory=dict)
    layers: dict[str, list[keras.layers.Layer]] = field(default_factory=dict)
    replacements: dict[str, Replacement] = field(default_factory=dict)
    units: dict[str, LabelUnits] = field(default_factory=dict)

    def tensor_of(self, reference: str) -> keras.KerasTensor:
        """The tensor `(batch, …)` of a reference in the specification, such as `vision.pooled`."""
        return self.tensors[self.resolved[reference]]


@dataclass
class FusedModel(Joined):
    """The fused graph and its parts.

    `model` leads from `{feature: (batch, …)}` to `{output: (batch, …)}`: probabilities
    `(batch, classes)` or `(batch, 1)` for a category, `(batch, classes)` that do not exclude one
    another for several of them, numbers `(batch, 1)` for a number.
    """

    model: keras.Model = field(kw_only=True)


def open_interface(name: str, interface: Interface, taps: list[str]) -> keras.layers.Layer:
    """For `build`: an interface in place of the sub-model itself."""
    return InterfaceLayer(interface, taps, name)


def build(
    specification: spec.Fusion,
    interfaces: Mapping[str, Interface],
    open_submodel: OpenSubmodel,
) -> FusedModel:
    """Joins the fused model.

    Args:
        specification: one whose names have been checked.
        interfaces: of each imported sub-model, by name.
        open_submodel: `open_interface` for a check, `opener(…)` for the imported models.

    Raises SpecificationError for unknown inputs or outputs of a sub-model, and for shapes or dtypes
    that clash, each with the key, what was expected and what was found. All problems that do not
    follow from another are in it.
    """
    fused, problems = build_valid(specification, interfaces, open_submodel)
    if fused is None:
        raise SpecificationError(problems)
    return fused


def build_valid(
    specification: spec.Fusion,
    interfaces: Mapping[str, Interface],
    open_submodel: OpenSubmodel,
) -> tuple[FusedModel | None, list[Problem]]:
    """Joins all of a model that can be joined; the arguments are those of `build`.

    Returns the model, None where some of it cannot be joined or nothing is predicted, and all
    problems that do not follow from another.
    """
    join = _Join(specification, interfaces, open_submodel)
    outputs = {}
    for name in specification.outputs:
        with join.recording(f"outputs.{name}"):
            if join.is_joined(specification.outputs[name].from_):
                outputs[name] = _output(specification, name, join)
    if join.problems or not outputs:
        return None, join.problems
    parts = {part.name: getattr(join, part.name) for part in fields(Joined)}
    return FusedModel(**parts, model=join.model(outputs)), []


def build_part(
    graph: spec.Graph, interfaces: Mapping[str, Interface], open_submodel: OpenSubmodel
) -> keras.Model:
    """A part of a graph as a model, from its features to `{reference: (batch, …)}` of its ends."""
    join = _Join(graph, interfaces, open_submodel)
    if join.problems:
        raise SpecificationError(join.problems)
    return join.model({reference: join.tensor_of(reference) for _, _, reference in graph.ends()})


class _Join(Joined):
    """Joins the sub-models and nodes of a graph, each after all that feeds it.

    A node that cannot be joined is recorded in `problems` and `failed`, and so is not what is
    computed from it: that is skipped.
    """

    def __init__(
        self, graph: spec.Graph, interfaces: Mapping[str, Interface], open_submodel: OpenSubmodel
    ) -> None:
        self.features = FeatureInputs(graph)
        owners = {name: interfaces[graph.owner(name)] for name in graph.submodels}
        super().__init__(dict(self.features.tensors), owners)
        self.graph = graph
        self.open_submodel = open_submodel
        self.upstream = spec.topology.upstream(graph)
        self.problems: list[Problem] = []
        self.failed: set[str] = set()
        self._replaced: dict[str, keras.KerasTensor] = {}
        self._absent: dict[str, keras.KerasTensor] = {}
        self._finite: dict[str, keras.KerasTensor] = {}
        self._resolve()
        seed = graph.training.seed if isinstance(graph, spec.Fusion) else 0
        for name in spec.topology.in_order(graph):
            with self.recording(name), own_seed(seed, name):
                self._add(name)

    @contextmanager
    def recording(self, name: str) -> Iterator[None]:
        """Records the problems that are raised inside, and that nothing can be joined to a node."""
        try:
            yield
        except SpecificationError as error:
            self.problems += error.found
            self.failed.add(name)

    def is_joined(self, reference: str) -> bool:
        """Whether the tensor of a reference is there; else it, or what feeds it, has failed."""
        return reference in self.resolved and spec.topology.source_of(reference) not in self.failed

    def model(self, outputs: dict[str, keras.KerasTensor]) -> keras.Model:
        """The model from the features that are used to some outputs."""
        return keras.Model(self.features.inputs, outputs, name="fused")

    def _resolve(self) -> None:
        """Finds the tensor that each reference names, and the outputs to take of each sub-model."""
        seen: set[str] = set()
        taps: dict[str, set[str]] = {name: set() for name in self.graph.submodels}
        for key, _, reference in spec.topology.references(self.graph):
            source = spec.topology.source_of(reference)
            if reference in seen:
                continue
            seen.add(reference)
            if source not in self.interfaces:
                # A wrong output of a feature has been reported with the names.
                if reference in self.features.tensors or source in self.graph.graph:
                    self.resolved[reference] = reference
                continue
            try:
                tap = self._tap(key, reference)
                self._check_drawn(key, source, tap)
            except SpecificationError as error:
                self.problems += error.found
                continue
            self.resolved[reference] = f"{source}.{tap}"
            taps[self.graph.owner(source)].add(tap)
        # Sorted: the same order in every process.
        self.taps = {name: sorted(found) for name, found in taps.items() if found}

    def _tap(self, key: str, reference: str) -> str:
        """The output of a sub-model that a reference names."""
        name, _, wanted = reference.partition(".")
        interface = self.interfaces[name]
        wanted = wanted or self.graph.submodels[name].output or ""
        if not wanted:
            if len(interface.outputs) > 1:
                raise SpecificationError(
                    f"submodels.{name}.output: the model has the outputs "
                    f"{', '.join(interface.outputs)}: name one here, or write "
                    f"'{name}.OUTPUT' in {key}"
                )
            return next(iter(interface.outputs))
        if wanted not in interface.taps():
            kind = "output" if interface.format == "saved_model" else "output or inner layer"
            place = key if "." in reference else f"submodels.{name}.output"
            raise SpecificationError(
                f"{place}: the model has no {kind} '{wanted}'; "
                f"{suggestion(wanted, interface.taps())}"
            )
        return wanted

    def _check_drawn(self, key: str, submodel: str, tap: str) -> None:
        if self.interfaces[submodel].taps()[tap].drawn:
            raise SpecificationError(
                f"{key}: the output '{tap}' of {submodel} differs from call to call for the same "
                "rows: the model draws random numbers in inference too. Take another output, or "
                "save a model without the layer that draws; where Keras exported a layer that "
                "augments, such as RandomFlip, name the .keras file"
            )

    def _add(self, name: str) -> None:
        is_submodel = name in self.graph.submodels
        if is_submodel:
            self._check_connections(name)
            if self.graph.owner(name) not in self.taps:  # a wrong output, recorded already
                self.failed.add(name)
        if not all(
            self.is_joined(reference) for _, reference in spec.topology.inputs_of(self.graph, name)
        ):
            self.failed.add(name)
        elif is_submodel:
            self._add_submodel(name)
        else:
            node = self.graph.graph[name]
            if isinstance(node, spec.Merge):
                self._add_merge(name, node)
            else:
                self._add_layers(name, node)

    def _check_connections(self, name: str) -> None:
        submodel, interface = self.graph.submodels[name], self.interfaces[name]
        needed = interface.needed_inputs(self.taps.get(self.graph.owner(name), ()))
        problems = [
            f"submodels.{name}.inputs.{entry}: the model has no such input; "
            f"{suggestion(entry, interface.inputs)}"
            for entry in submodel.inputs
            if entry not in interface.inputs
        ] + [
            f"submodels.{name}.inputs: the model's input '{entry}' {info} is not connected"
            for entry, info in interface.inputs.items()
            if entry in needed and entry not in submodel.inputs
        ]
        if problems:
            raise SpecificationError(problems)

    def _add_submodel(self, name: str) -> None:
        interface, owner = self.interfaces[name], self.graph.owner(name)
        inputs = {}
        for entry, reference in self.graph.submodels[name].inputs.items():
            key = f"submodels.{name}.inputs.{entry}"
            with self.recording(name):
                tensor = self._input(key, name, reference)
                wanted = interface.inputs[entry]
                inputs[entry] = fitted(key, f"{name}.{entry}", tensor, reference, wanted)
        if name in self.failed:
            return
        # The precision is that of new layers. A file does not store that of all layers in it: those
        # that a subclassed model makes by itself take Keras's default.
        needed = interface.needed_inputs(self.taps[owner])
        inputs = {entry: tensor for entry, tensor in inputs.items() if entry in needed}
        with precision("float32"):
            if owner not in self.submodels:
                # By the owner's name even where a twin comes first in the order of the data.
                self.submodels[owner] = self.open_submodel(owner, interface, self.taps[owner])
            outputs = self.submodels[owner](inputs)
        for tap, tensor in outputs.items():
            self.tensors[f"{name}.{tap}"] = tensor

    def _add_merge(self, name: str, node: spec.Merge) -> None:
        key = f"graph.{name}"
        tensors = [self._input(f"{key}.inputs", name, reference) for reference in node.inputs]
        try:
            check_inputs(node.merge, tensors)
            layer = new_merge(node.merge, name, node.config)
            self.tensors[name] = layer(tensors)
        except (ValueError, TypeError) as error:
            shapes = ", ".join(
                f"{reference} {shape_text(tensor)}"
                for reference, tensor in zip(node.inputs, tensors, strict=True)
            )
            raise SpecificationError(
                f"{key}: {node.merge} cannot join {shapes}: {first_line(error)}"
            ) from error
        self.layers[name] = [layer]

    def _add_layers(self, name: str, node: spec.Layers) -> None:
        key = f"graph.{name}"
        tensor = self._input(f"{key}.inputs", name, node.inputs)
        self.layers[name] = []
        for position, item in enumerate(node.layers):
            [(class_name, config)] = item.items()
            place = f"{key}.layers.{position}.{class_name}"
            last = position == len(node.layers) - 1
            layer_name = name if last else f"{name}.{position}"
            layer = new_layer(place, class_name, {**config, "name": layer_name})
            try:
                check_dtype(class_name, tensor)
                received, tensor = tensor, layer(tensor)
            except Exception as error:  # given another shape, a layer may raise anything
                raise SpecificationError(
                    f"{place}: it does not fit its input {shape_text(tensor)}: {first_line(error)}"
                ) from error
            if not isinstance(tensor, keras.KerasTensor):
                raise SpecificationError(
                    f"{place}: it gives several tensors for {shape_text(received)}, one is needed"
                )
            self.layers[name].append(layer)
            if not last:
                tensor = self._finite_in(name, layer_name, tensor)
        self.tensors[name] = tensor

    def _input(self, key: str, name: str, reference: str) -> keras.KerasTensor:
        """The tensor that a node takes for a reference: replaced where a feature is missing."""
        tensor = self.tensor_of(reference)
        feature = spec.topology.replaced_at(self.graph, self.upstream, name, reference)
        missing = self.graph.features[feature].missing if feature else None
        if missing is None:
            source = spec.topology.source_of(reference)
            return self._finite_in(source, self.resolved[reference], tensor)
        if reference not in self._replaced:
            try:
                check_replaceable(missing, tensor)
            except ValueError as error:
                raise SpecificationError(
                    f"features.{feature}.missing: at {key}, '{reference}' "
                    f"{shape_text(tensor)}: {error}"
                ) from error
            layer = Replacement(missing.replace, scope_name(f"{self.resolved[reference]}.replaced"))
            self.replacements[reference] = layer
            self._replaced[reference] = layer(tensor, self._rows_without(feature, missing))
        return self._replaced[reference]

    def _rows_without(self, feature: str, missing: spec.Missing) -> keras.KerasTensor:
        """Which rows lack a feature; one draw for all places where it is replaced."""
        if feature not in self._absent:
            layer = Absence(missing.drop, f"{feature}.absent")
            self._absent[feature] = layer(self.features.missing[feature])
        return self._absent[feature]

    def _finite_in(self, name: str, place: str, tensor: keras.KerasTensor) -> keras.KerasTensor:
        """A node's tensor, finite in the rows that lack the only feature that it comes from."""
        [feature, *others] = self.upstream[name]
        absent = self.features.missing.get(feature)
        if absent is None or others or name == feature or tensor.dtype == "string":
            return tensor
        if place not in self._finite:
            self._finite[place] = Finite(scope_name(f"{place}.finite"))(tensor, absent)
        return self._finite[place]


def _output(specification: spec.Fusion, name: str, join: _Join) -> keras.KerasTensor:
    """The prediction of an output, `(batch, units)` as its label and its loss need it."""
    reference, label = specification.outputs[name].from_, specification.label_of(name)
    tensor = join.tensor_of(reference)
    layer = prediction(specification, name, tensor, _last_activation(reference, join))
    if not isinstance(label, spec.NumberLabel) or label.normalize == "none":
        return layer(tensor)
    join.units[name] = LabelUnits(name=f"{name}.units")
    return join.units[name](layer(tensor))


def _last_activation(reference: str, join: _Join) -> str | None:
    """The activation that the node of a reference ends in; None where it is not known."""
    source, _, tap = join.resolved[reference].partition(".")
    if tap:
        return join.interfaces[source].taps()[tap].activation
    if isinstance(join.graph.graph.get(source), spec.Layers):
        return activation_of(join.layers[source][-1])
    return None
