"""Draws layers that fit a tensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests.differential.case import FLOAT
from tests.differential.models import VOCABULARY

Item = dict[str, dict[str, Any]]


class Tensor(NamedTuple):
    """What a reference gives: `kind` is vector, sequence, ids, image or words."""

    reference: str
    kind: str
    shape: tuple[int, ...]
    dtype: str = FLOAT


class LayerDraw:
    """Layers from a shape to another, each as `{class: config}`.

    Attributes:
        own: the class of a user's own.
        layers_only: whether all must be layers, for a Sequential.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.own = "OwnA"
        self.layers_only = False

    def one(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def to_sequence(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from steps to steps."""
        steps, width = shape
        units = self.one(2, 3, 4)
        changed = {
            "LSTM": {"LSTM": {"units": units, "return_sequences": True}},
            "GRU": {"GRU": {"units": units, "return_sequences": True}},
            "Bidirectional": {
                "Bidirectional": {"layer": {"LSTM": {"units": 2, "return_sequences": True}}}
            },
            "TimeDistributed": {"TimeDistributed": {"layer": {"Dense": {"units": units}}}},
            "Conv1D": {"Conv1D": {"filters": units, "kernel_size": 2, "padding": "same"}},
            "Dense": {"Dense": {"units": units, "activation": "tanh"}},
        }
        same = {
            "Masking": {"Masking": {"mask_value": 0.0}},
            "LayerNormalization": {"LayerNormalization": {}},
            "Dropout": {"Dropout": {"rate": 0.5}},
            "SpatialDropout1D": {"SpatialDropout1D": {"rate": 0.5}},
            "GaussianNoise": {"GaussianNoise": {"stddev": 1.0}},
            "BatchNormalization": {"BatchNormalization": {}},
            "SelfAttention": {"SelfAttention": {"num_heads": 2, "key_dim": 2}},
            "DotAttention": {"DotAttention": {}},
            "Residual": {"Residual": {"layer": {"Dense": {"units": width}}}},
            "Activation": {"Activation": {"activation": "relu"}},
            "Own": {self.own: {}},
        }
        if self.layers_only:
            for name in ("SelfAttention", "DotAttention", "Residual"):
                del same[name]
        name = self.one(*changed, *same)
        if name in same:
            return same[name], shape
        return changed[name], (steps, 4 if name == "Bidirectional" else units)

    def pooled(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from steps to a vector."""
        steps, width = shape
        units = self.one(2, 3, 4)
        layers: list[tuple[Item, int]] = [
            ({"LSTM": {"units": units}}, units),
            ({"GRU": {"units": units}}, units),
            ({"SimpleRNN": {"units": units}}, units),
            ({"Bidirectional": {"layer": {"GRU": {"units": 2}}}}, 4),
            ({"GlobalAveragePooling1D": {}}, width),
            ({"GlobalMaxPooling1D": {}}, width),
            ({"Flatten": {}}, steps * width),
        ]
        item, size = self.one(*layers)
        return item, (size,)

    def to_vector(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from a vector to a vector."""
        [width] = shape
        units = self.one(2, 3, 4)
        item = self.one(
            {"Dense": {"units": units, "activation": self.one("tanh", "relu", "gelu")}},
            {"Dense": {"units": units, "activation": "tanh"}},
            {"BatchNormalization": {}},
            {"Dropout": {"rate": 0.5}},
            {"GaussianNoise": {"stddev": 1.0}},
            {"GaussianDropout": {"rate": 0.5}},
            {"AlphaDropout": {"rate": 0.5}},
            {"Rescaling": {"scale": 0.5, "offset": 1.0}},
            {"Normalization": {"mean": [0.5] * width, "variance": [2.0] * width}},
            {"Adapted": {"width": width}},
            {"LayerNormalization": {}},
            {"UnitNormalization": {}},
            {self.own: {}},
        )
        return item, (units,) if "Dense" in item else shape

    def to_image(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from an image to an image."""
        height, width, _ = shape
        item = self.one(
            {"Conv2D": {"filters": 3, "kernel_size": 2, "padding": "same", "activation": "relu"}},
            {"DepthwiseConv2D": {"kernel_size": 2, "padding": "same"}},
            {"BatchNormalization": {}},
            {"SpatialDropout2D": {"rate": 0.5}},
            {"Rescaling": {"scale": 2.0, "offset": -1.0}},
            {"RandomFlip": {}},
        )
        return item, (height, width, 3) if "Conv2D" in item else shape

    def chain(
        self, given: Tensor, want: str, longest: int = 3
    ) -> tuple[list[Item], str, tuple[int, ...]]:
        """Layers from a tensor to a wanted kind, `vector` or `sequence` where it can be one."""
        items: list[Item] = []
        kind, shape = given.kind, given.shape
        if kind == "words":
            items.append(VOCABULARY)
            kind = "ids"
        if kind == "ids":
            width = self.one(2, 3)
            items.append({
                "Embedding": {"input_dim": 8, "output_dim": width, "mask_zero": self.chance(0.6)}
            })  # fmt: skip
            kind, shape = "sequence", (*shape, width)
        if kind == "sequence":
            for _ in range(int(self.random.integers(longest))):
                item, shape = self.to_sequence(shape)
                items.append(item)
            if want == "vector":
                item, shape = self.pooled(shape)
                items.append(item)
                kind = "vector"
        if kind == "image":
            for _ in range(int(self.random.integers(longest))):
                item, shape = self.to_image(shape)
                items.append(item)
            items.append({self.one("GlobalAveragePooling2D", "GlobalMaxPooling2D"): {}})
            kind, shape = "vector", (shape[-1],)
        if kind == "vector":
            for _ in range(int(self.random.integers(longest))):
                item, shape = self.to_vector(shape)
                items.append(item)
        return items, kind, shape
