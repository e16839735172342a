"""Proof that frozen tensors stay as imported: digests before training, after it, once exported."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec.base import Part

# sub-model → tensor → SHA-256 of its dtype, shape and bytes
Digests = dict[str, dict[str, str]]


class FrozenPart(Part):
    """What stays frozen throughout, with one digest of it all at each of three moments."""

    tensors: int
    parameters: int
    before: str
    after: str
    exported: str = ""


def digest(value: Any) -> str:
    """SHA-256 of a tensor: its dtype, shape and bytes."""
    array = np.asarray(value)
    text = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(text + array.tobytes()).hexdigest()


def digests(tensors: Mapping[str, Mapping[str, Any]]) -> Digests:
    """The digest of each tensor, by sub-model and name; moving statistics are tensors too."""
    return {
        submodel: {name: digest(value) for name, value in named.items()}
        for submodel, named in tensors.items()
    }


def verify_unchanged(before: Digests, after: Digests, when: str) -> None:
    """Raises RunError with the names of the tensors that differ from before."""
    changed = [
        f"{submodel}: {name}"
        for submodel, named in before.items()
        for name, value in named.items()
        if after.get(submodel, {}).get(name) != value
    ]
    if changed:
        raise RunError(f"frozen tensors changed {when}: {', '.join(changed)}")


def named_like(before: Digests, exported: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Exported tensors by name: SavedModel keeps their order, not their names."""
    return {
        submodel: dict(zip(before[submodel], values, strict=True))
        for submodel, values in exported.items()
    }


def combined(found: Iterable[str]) -> str:
    """One digest of several, in their order."""
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def frozen_parts(
    tensors: Mapping[str, Mapping[str, Any]], before: Digests, after: Digests
) -> dict[str, FrozenPart]:
    """By sub-model, the tensors that stay frozen, with one digest of before and one of after."""
    return {
        submodel: FrozenPart(
            tensors=len(named),
            parameters=sum(int(np.prod(tensors[submodel][name].shape)) for name in named),
            before=combined(named.values()),
            after=combined(after[submodel].values()),
        )
        for submodel, named in before.items()
    }


def all_frozen(parts: Mapping[str, FrozenPart]) -> FrozenPart:
    """The frozen parts of all sub-models as one, whatever the order they were built in."""
    every = [part for _, part in sorted(parts.items())]
    return FrozenPart(
        tensors=sum(part.tensors for part in every),
        parameters=sum(part.parameters for part in every),
        before=combined(part.before for part in every),
        after=combined(part.after for part in every),
        exported=combined(part.exported for part in every),
    )
