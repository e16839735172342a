"""What enters a fused model, and the features as its nodes take them."""

import keras

from tfx_fusion.modules import spec
from tfx_fusion.modules.graph.layers import StepMask
from tfx_fusion.modules.graph.missing import Substitute
from tfx_fusion.modules.spec.topology import references
from tfx_fusion.modules.submodels.flatten import scope_name


class FeatureInputs:
    """The inputs of a graph.

    Attributes:
        inputs: every input of the model, by name: each feature that the graph uses (of a text with
            a tokenizer each output, as `words.ids`), after it the
            length of a variable sequence; then which rows lack a feature.
        tensors: each feature as nodes take it, made up in rows that lack it, padding masked.
        missing: which rows lack a feature, by feature.
    """

    def __init__(self, graph: spec.Graph) -> None:
        self.inputs: dict[str, keras.KerasTensor] = {}
        self.tensors: dict[str, keras.KerasTensor] = {}
        self.missing: dict[str, keras.KerasTensor] = {}
        used = {reference for _, _, reference in references(graph)}
        sequences = spec.variable_sequences(graph.features)
        for name, feature in graph.features.items():
            made = {
                reference: keras.Input(tensor.shape, dtype=tensor.dtype, name=reference)
                for reference, tensor in feature.tensors(name).items()
            }
            self.tensors |= made  # what is not used is only reported
            entering = {reference: made[reference] for reference in made if reference in used}
            self.inputs |= entering
            if feature.missing and entering:
                column = spec.missing_name(name)
                self.missing[name] = keras.Input((), dtype="int64", name=column)
            for reference, values in entering.items():
                if name in self.missing and values.dtype != "string":
                    layer = Substitute(f"{scope_name(reference)}.made_up")
                    values = layer(values, self.missing[name])
                if name in sequences:
                    values = self._masked(name, values, sequences[name].shape[0])
                self.tensors[reference] = values
        self.inputs |= {spec.missing_name(name): given for name, given in self.missing.items()}

    def _masked(self, name: str, values: keras.KerasTensor, steps: int) -> keras.KerasTensor:
        column = spec.length_name(name)
        length = self.inputs[column] = keras.Input((), dtype="int64", name=column)
        if name in self.missing:
            full = Substitute(f"{name}.full_length", whole=steps)
            length = full(length, self.missing[name])
        return StepMask(dtype="float32", name=f"{name}.mask")([values, length])
