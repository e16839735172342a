"""Merges by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras


class _Attention(keras.layers.Layer):
    """The merge `attention`: branches as tokens that attend to all, added to themselves."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.attend = keras.layers.MultiHeadAttention(heads, max(width // heads, 1))

    def call(self, inputs: list[Any]) -> Any:
        tokens = keras.ops.stack(inputs, axis=1)
        return keras.ops.mean(tokens + self.attend(tokens, tokens), axis=1)


class _Gated(keras.layers.Layer):
    """The merge `gated`: a sum of branches by a softmax of all."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.gates = keras.layers.Dense(branches, activation="softmax")

    def call(self, inputs: list[Any]) -> Any:
        gates = self.gates(keras.ops.concatenate(inputs, axis=-1))
        return sum(gates[:, n : n + 1] * branch for n, branch in enumerate(inputs))


class _Bilinear(keras.layers.Layer):
    def call(self, inputs: list[Any]) -> Any:
        one, other = inputs
        outer = keras.ops.einsum("bi,bj->bij", one, other)
        return keras.ops.reshape(outer, (-1, one.shape[1] * other.shape[1]))


def new_merge(node: Mapping[str, Any], width: int) -> Any:
    """The layer of a merge node; `width` is that of its first input."""
    config, count = node.get("config", {}), len(node["inputs"])
    plain: dict[str, Callable[[], Any]] = {
        "concatenate": lambda: keras.layers.Concatenate(axis=config.get("axis", -1)),
        "add": keras.layers.Add,
        "multiply": keras.layers.Multiply,
        "average": keras.layers.Average,
        "maximum": keras.layers.Maximum,
        "dot": lambda: keras.layers.Dot(axes=-1, normalize=config.get("normalize", False)),
        "attention": lambda: _Attention(config.get("heads", 1), width),
        "gated": lambda: _Gated(count),
        "bilinear": _Bilinear,
    }
    return plain[node["merge"]]()
