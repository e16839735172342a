"""The interface of a sub-model: named inputs and outputs with dtype and shape.

An interface is plain data: it can be stored beside the model's digest, and a fusion graph can be
checked against it without loading the model.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from tfx_fusion.modules.spec.base import Part

if TYPE_CHECKING:  # to read an interface needs no backend of Keras
    import keras

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

    `activation` is the last layer's, if known; `layer` is the layer that gives it (empty for a
    SavedModel). `drawn` is whether it differs from call to call for the same rows.
    """

    layer: str = ""
    activation: str | None = None
    drawn: bool = False


class LayerInfo(Part):
    """One layer of a sub-model: the layers that feed it, and its weights.

    `weights` counts parameters by name: the layer's own, or, where the layer is a model with a
    `call` of its own, those of its layers.
    """

    inputs: tuple[str, ...] = ()
    weights: dict[str, int] = {}


class Interface(Part):
    """What a sub-model takes and gives.

    `cuts` are the inner layers whose output can be taken instead (none for a SavedModel).
    `layers` are in the order of the data; a SavedModel's are its variables, each by itself. What
    lies inside a nested model goes by its path, `backbone/conv1`. `entries` has the layer of each
    input (empty where the graph is not known), `ids_below`, by input, the number of embeddings that
    its ids choose from, and `most_steps` how long a sequence may be; each where it is known.
    """

    format: Literal["keras", "saved_model"]
    inputs: dict[str, TensorInfo]
    outputs: dict[str, OutputInfo]
    cuts: dict[str, OutputInfo] = {}
    layers: dict[str, LayerInfo] = {}
    entries: dict[str, str] = {}
    ids_below: dict[str, int] = {}
    most_steps: int | None = None
    parameters: int

    def taps(self) -> dict[str, OutputInfo]:
        """Everything that can be taken from the model: its outputs, then its inner layers."""
        return {**self.cuts, **self.outputs}

    def weights_of(self, taps: Iterable[str]) -> dict[str, int]:
        """Parameters by layer of all that computes some taps, in the order of the data."""
        if self.format == "saved_model":
            return {name: n for layer in self.layers.values() for name, n in layer.weights.items()}
        wanted = self._layers_behind(taps)
        return {
            name: count
            for layer, info in self.layers.items()
            if layer in wanted
            for name, count in info.weights.items()
        }

    def needed_inputs(self, taps: Iterable[str]) -> set[str]:
        """The inputs that some taps are computed from; all where the graph is not known."""
        if not self.entries:
            return set(self.inputs)
        wanted = self._layers_behind(taps)
        return {name for name, layer in self.entries.items() if layer in wanted}

    def _layers_behind(self, taps: Iterable[str]) -> set[str]:
        """The layers that compute some taps."""
        wanted: set[str] = set()
        left = [self.taps()[tap].layer for tap in taps]
        while left:
            name = left.pop()
            if name not in wanted:
                wanted.add(name)
                left.extend(self.layers[name].inputs)
        return wanted


class Inspection(Part):
    """The result of reading a sub-model: its interface, and the digest of all it is made of."""

    interface: Interface
    digest: str


def unique_names(names: Iterable[str]) -> list[str]:
    """The names in their order; one that came before gets a number: `kernel`, `kernel_2`."""
    found: dict[str, None] = {}
    for wanted in names:
        name, copies = wanted, 1
        while name in found:
            copies += 1
            name = f"{wanted}_{copies}"
        found[name] = None
    return list(found)


# name, interface, taps → a layer from `{input: tensor}` to `{tap: tensor}`
OpenSubmodel = Callable[[str, Interface, list[str]], "keras.layers.Layer"]
