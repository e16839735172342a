"""Draws the graph: merges and new layers, until one vector is left."""

from __future__ import annotations

from typing import Any

from tests.differential.case import FLOAT
from tests.differential.draw_layers import Item, Tensor
from tests.differential.draw_submodels import SubmodelDraw
from tests.differential.models import VOCABULARY


class GraphDraw(SubmodelDraw):
    """Nodes of a case."""

    def node(self, node: dict[str, Any], kind: str, shape: tuple[int, ...]) -> Tensor:
        name = f"n{len(self.case.nodes)}"
        self.case.nodes[name] = node
        tensor = Tensor(name, kind, shape)
        self.pool.append(tensor)
        return tensor

    def layers(self, given: Tensor, items: list[Item], shape: tuple[int, ...]) -> Tensor:
        self.used.add(given.reference)
        kind = "vector" if len(shape) == 1 else "sequence"
        return self.node({"layers": items, "inputs": given.reference}, kind, shape)

    def as_vector(self, given: Tensor) -> Tensor:
        """A tensor as a vector, through new layers where it is none."""
        if given.kind == "vector":
            self.used.add(given.reference)
            return given
        items: list[Item] = []
        kind, shape = given.kind, given.shape
        if kind == "image":
            items = [{"Conv2D": {"filters": 2, "kernel_size": 2}}, {"GlobalMaxPooling2D": {}}]
            return self.layers(given, items, (2,))
        if kind == "words":
            items.append(VOCABULARY)
            kind = "ids"
        if kind == "ids":
            items.append({"Embedding": {"input_dim": 8, "output_dim": 3,
                                        "mask_zero": self.chance(0.6)}})  # fmt: skip
            shape = (*shape, 3)
        if self.chance(0.2):
            items.append({"LayerNormalization": {}})
        item = self.one({"LSTM": {"units": 3}}, {"GRU": {"units": 3}},
                        {"GlobalAveragePooling1D": {}}, {"GlobalMaxPooling1D": {}},
                        {"Flatten": {}})  # fmt: skip
        width = shape[1] if "Pooling" in next(iter(item)) else 3
        if "Flatten" in item:
            width = shape[0] * shape[1]
        return self.layers(given, [*items, item], (width,))

    def widened(self, given: Tensor, units: int) -> Tensor:
        """A vector of a width."""
        if given.shape == (units,) and given.dtype == FLOAT:
            return given
        return self.layers(given, [{"Dense": {"units": units}}], (units,))

    def joined(self) -> Tensor:
        """Everything that nothing takes yet, as one vector."""
        if self.chance(0.35):
            self.sequence_merge()
        open_ends = [t for t in self.pool if t.reference not in self.used]
        vectors = [self.as_vector(tensor) for tensor in open_ends]
        while len(vectors) > 1:
            count = self.one(2, 2, 3)
            some, vectors = vectors[:count], vectors[count:]
            vectors.append(self.merge(some))
        return vectors[0]

    def sequence_merge(self) -> None:
        """Joins two sequences of as many steps: their masks meet there."""
        open_ends = [t for t in self.pool if t.reference not in self.used and t.kind == "sequence"]
        for position, first in enumerate(open_ends):
            for second in open_ends[position + 1 :]:
                if first.shape[0] != second.shape[0]:
                    continue
                merge = "concatenate"
                if first.shape == second.shape:
                    merge = self.one("concatenate", "add", "multiply", "average", "maximum")
                width = first.shape[1] + (second.shape[1] if merge == "concatenate" else 0)
                references = [first.reference, second.reference]
                self.used.update(references)
                self.node({"merge": merge, "inputs": references}, "sequence",
                          (first.shape[0], width))  # fmt: skip
                return

    def merge(self, tensors: list[Tensor]) -> Tensor:
        merge = self.one("concatenate", "concatenate", "add", "multiply", "average", "maximum",
                         "attention", "gated", "bilinear", "dot")  # fmt: skip
        if merge in ("bilinear", "dot") and len(tensors) != 2:
            merge = "concatenate"
        config: dict[str, Any] = {}
        if merge not in ("concatenate", "bilinear"):
            units = 4 if merge == "attention" else self.one(2, 3)
            tensors = [self.widened(tensor, units) for tensor in tensors]
            width = 1 if merge == "dot" else units
            if merge == "attention" and self.chance(0.5):
                config["heads"] = 2
            if merge == "dot" and self.chance(0.5):
                config["normalize"] = True
        elif merge == "concatenate":
            width = sum(tensor.shape[0] for tensor in tensors)
        else:
            tensors = [
                self.widened(tensor, 3) if tensor.shape[0] > 6 else tensor for tensor in tensors
            ]
            width = tensors[0].shape[0] * tensors[1].shape[0]
        references = [tensor.reference for tensor in tensors]
        if len(set(references)) < len(references):
            references, width = [*dict.fromkeys(references)], width
        self.used.update(references)
        node: dict[str, Any] = {"merge": merge, "inputs": references}
        if config:
            node["config"] = config
        return self.node(node, "vector", (width,))
