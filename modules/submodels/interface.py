"""The interface of a sub-model: named inputs and outputs with dtype and shape.

An interface is plain data: it can be kept beside the model's digest, and a fusion graph can be
checked against it without loading the model.
"""

from __future__ import annotations

from typing import Literal

from modules.spec.base import Part

Shape = tuple[int | None, ...]


class TensorInfo(Part):
    """One tensor; the shape leaves the batch out, `None` stands for a size that may vary."""

    shape: Shape
    dtype: str

    def __str__(self) -> str:
        return (
            f"({', '.join('?' if size is None else str(size) for size in self.shape)}) {self.dtype}"
        )


class OutputInfo(TensorInfo):
    """One output, or an inner layer where the model can be cut.

    `parameters` counts what is needed to compute it; `activation` is the last layer's, if known.
    """

    parameters: int
    activation: str | None = None


class Interface(Part):
    """What a sub-model takes and gives.

    `cuts` are the inner layers whose output can be taken instead (none for a SavedModel).
    """

    format: Literal["keras", "saved_model"]
    inputs: dict[str, TensorInfo]
    outputs: dict[str, OutputInfo]
    cuts: dict[str, OutputInfo] = {}
    parameters: int

    def taps(self) -> dict[str, OutputInfo]:
        """Everything that can be taken from the model: its outputs, then its inner layers."""
        return {**self.cuts, **self.outputs}


class Inspection(Part):
    """What is known of a sub-model once it has been read: its interface, its digest."""

    interface: Interface
    digest: str
