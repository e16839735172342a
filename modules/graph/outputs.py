"""What an output ends in: its prediction, in the units of its label."""

from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.layers import shape_text
from tfx_fusion.modules.spec import CategoryLabel, Fusion, MultiLabel, NumberLabel
from tfx_fusion.modules.spec.topology import source_of

# The activations whose values Poisson's loss takes: none of them is below 0.
ABOVE_ZERO = ("exponential", "softplus", "relu", "sigmoid")


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Prediction(keras.layers.Activation):
    """What an output ends in, `(batch, units)` to `(batch, units)` in float32, without a mask.

    The loss and the metrics of Keras would leave out the rows that a mask leaves out; every row
    counts here, as it does in the evaluation.
    """

    def __init__(self, activation: str, **options: Any) -> None:
        super().__init__(activation, **{**options, "dtype": "float32"})

    def call(self, inputs: Any) -> Any:
        # A copy of what comes in: `linear` returns the tensor itself, with the mask that it has
        # elsewhere. Not of what goes out: softmax and sigmoid note the logits on their output, and
        # Keras's losses compute from these, without a loss of precision.
        return super().call(keras.ops.copy(inputs))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None


@keras.saving.register_keras_serializable(package="tfx_fusion")
class LabelUnits(keras.layers.Layer):
    """Scaled numbers `(batch, 1)` to the label's units: times `scale`, plus `shift`.

    Both are set from the labels of the rows to train on when training begins. `scaled` is the
    inverse, for losses. It is part of the fused model, so that training on raw rows and on
    embeddings, the evaluation, the exported model and every server give the same numbers.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name=name, dtype="float32", **options)

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.shift = self.add_weight((), "zeros", trainable=False, name="shift")
        self.scale = self.add_weight((), "ones", trainable=False, name="scale")

    def call(self, values: Any) -> Any:
        return values * self.scale + self.shift

    def scaled(self, values: Any) -> Any:
        """Numbers in the label's units, scaled."""
        return (values - self.shift) / self.scale

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["dtype"]
        return config


def prediction(
    specification: Fusion, name: str, tensor: keras.KerasTensor, ends_in: str | None
) -> Prediction:
    """The layer that makes an output's node the prediction that its label and its loss need.

    Args:
        specification: the whole.
        name: the output's.
        tensor: what its node gives, `(batch, …)`.
        ends_in: the activation that its node ends in; None where it is not known.

    Raises SpecificationError where the node's shape or activation does not fit.
    """
    output, label = specification.outputs[name], specification.label_of(name)
    binary = specification.kind_of(name) in ("binary", "multi_label")
    units, reason = 1, f"a label of type number, {output.loss}"
    if isinstance(label, CategoryLabel) and binary:
        reason = output.loss.name
        if len(label.classes) != 2:
            raise SpecificationError(
                f"outputs.{name}.loss: {output.loss.name} needs a label of two classes, found "
                f"{len(label.classes)}: use categorical_crossentropy"
            )
    elif isinstance(label, CategoryLabel | MultiLabel):
        units, reason = len(label.classes), f"{len(label.classes)} classes"
    if tuple(tensor.shape[1:]) != (units,):
        raise SpecificationError(
            f"outputs.{name}.from: expected ({units}) for {reason}, found {shape_text(tensor)}"
        )
    if output.loss.name == "poisson" and ends_in not in ABOVE_ZERO:
        raise SpecificationError(
            f"outputs.{name}.from: poisson needs predictions above 0, '{output.from_}' ends in "
            f"{ends_in or 'an unknown activation'}: end it in a layer with the activation "
            "exponential or softplus"
        )
    activation = "linear"
    if not isinstance(label, NumberLabel) and _gives_logits(specification, name, ends_in):
        activation = "sigmoid" if binary else "softmax"
    return Prediction(activation, name=f"{name}.prediction")


def _gives_logits(specification: Fusion, name: str, ends_in: str | None) -> bool:
    """Whether an output's node gives logits: as stated, else by the activation it ends in."""
    output = specification.outputs[name]
    if output.from_logits is not None:
        return output.from_logits
    source = source_of(output.from_)
    if ends_in is None:
        raise SpecificationError(
            f"outputs.{name}.from_logits: whether '{source}' gives logits or probabilities is "
            "not known: write from_logits: true or false"
        )
    if ends_in == "softmax" and isinstance(specification.label_of(name), MultiLabel):
        raise SpecificationError(
            f"outputs.{name}.from: '{source}' ends in softmax, whose classes exclude one "
            "another: a label of type multi_label needs logits or sigmoid"
        )
    return ends_in not in ("softmax", "sigmoid")
