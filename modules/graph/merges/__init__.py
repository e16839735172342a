"""The merges by name: each a Keras layer that takes the list of a node's inputs, `(batch, …)` each.

A plain merge is a line in MERGES; one that needs a layer of its own has a file beside this one.
`modules.spec` lists the names once more, so that reading a file imports no Keras.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.graph.merges.attention import BranchAttention
from tfx_fusion.modules.graph.merges.bilinear import Bilinear
from tfx_fusion.modules.graph.merges.gated import Gated


@dataclass(frozen=True)
class MergeType:
    """How to make the layer of a merge.

    Args:
        layer: makes it, from `name`, `config` and `fixed`.
        config: the keys that a specification may give, with their defaults.
        fixed: arguments that it may not.
        equal_shapes: whether all inputs must have one shape. Keras would otherwise stretch a size
            of 1 over the others without a word.
    """

    layer: Callable[..., keras.layers.Layer]
    config: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    equal_shapes: bool = True


MERGES = {
    # The sum, the mean, the largest and the product, element by element: (batch, …) as the inputs.
    "add": MergeType(keras.layers.Add),
    "average": MergeType(keras.layers.Average),
    "maximum": MergeType(keras.layers.Maximum),
    "multiply": MergeType(keras.layers.Multiply),
    # Side by side: (batch, a), (batch, b) to (batch, a + b).
    "concatenate": MergeType(keras.layers.Concatenate, {"axis": -1}, equal_shapes=False),
    # The scalar product of two: (batch, d), (batch, d) to (batch, 1); cosine if `normalize`.
    "dot": MergeType(keras.layers.Dot, {"normalize": False}, {"axes": -1}),
    # Every product of two vectors' elements: (batch, a), (batch, b) to (batch, a · b).
    "bilinear": MergeType(Bilinear, equal_shapes=False),
    # Branches weighed by gates, or attending to one another: (batch, d) each to (batch, d).
    "gated": MergeType(Gated),
    "attention": MergeType(BranchAttention, {"heads": 1}),
}


def check_inputs(merge: str, tensors: Sequence[Any]) -> None:
    """Raises ValueError for inputs that differ in shape where a merge needs equal ones.

    Also for text beside numbers, which no merge takes.
    """
    if len({str(tensor.dtype) == "string" for tensor in tensors}) > 1:
        raise ValueError("text and numbers do not merge")
    shapes = {tuple(tensor.shape[1:]) for tensor in tensors}
    if MERGES[merge].equal_shapes and len(shapes) > 1:
        raise ValueError("it needs equal shapes")


def new_merge(merge: str, name: str, config: Mapping[str, Any]) -> keras.layers.Layer:
    """The layer of a merge, named after its node. Raises ValueError for an unknown config key."""
    kind = MERGES[merge]
    for key in config:
        if key not in kind.config:
            raise ValueError(f"config.{key}: unknown key; {suggestion(key, kind.config)}")
    return kind.layer(name=name, **{**kind.config, **config, **kind.fixed})
