"""One row of the table of a graph, for those who show it without Keras."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeRow:
    """One vertex of the resolved graph: shapes without the batch, and its parameters."""

    name: str
    kind: str
    inputs: str
    output: str
    trainable: int
    frozen: int
