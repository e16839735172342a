"""The merges, each a file of its own that bears its name.

A file defines `new(name, **config)`, which gives a Keras layer that takes the list of the node's
inputs, each `(batch, …)`, and returns one tensor. The file's presence is all the registration.
"""

from __future__ import annotations

import importlib
from typing import Any


def new_merge(merge: str, name: str, config: dict[str, Any]) -> Any:
    """The layer of a merge, named after its node. Raises TypeError for an unknown config key."""
    return importlib.import_module(f"{__name__}.{merge}").new(name, **config)
