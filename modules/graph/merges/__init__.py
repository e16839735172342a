"""The merges, each a file of its own that bears its name.

A file defines `new(name, **config)`, which gives a Keras layer that takes the list of the node's
inputs, each `(batch, …)`, and returns one tensor. The file's presence is all the registration.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any


def _module(merge: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{merge}")


def check_inputs(merge: str, tensors: Sequence[Any]) -> None:
    """Raises ValueError where inputs of a merge differ in what must be equal.

    A file that says `EQUAL_SHAPES = True` wants equal ones: Keras would otherwise stretch a size of
    1 over the others, silently. Text and numbers never merge.
    """
    if len({str(tensor.dtype) == "string" for tensor in tensors}) > 1:
        raise ValueError("text and numbers do not merge")
    shapes = {tuple(tensor.shape[1:]) for tensor in tensors}
    if getattr(_module(merge), "EQUAL_SHAPES", False) and len(shapes) > 1:
        raise ValueError("it needs equal shapes")


def new_merge(merge: str, name: str, config: dict[str, Any]) -> Any:
    """The layer of a merge, named after its node. Raises TypeError for an unknown config key."""
    return _module(merge).new(name, **config)
