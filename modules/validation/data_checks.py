"""Whether the checks of the data name what there is; names alone, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.spec import Specification, drifting


def check_problems(specification: Specification) -> Iterator[str]:
    """Every name in `data.checks` that leads nowhere, with its key."""
    measured = drifting(specification.features, specification.labels)
    for name in specification.data.checks.drift:
        part = specification.features.get(name) or specification.labels.get(name)
        if part is None:
            hint = suggestion(name, {*specification.features, *specification.labels})
            yield f"data.checks.drift.{name}: no feature or label has this name; {hint}"
        elif name not in measured:
            yield (
                f"data.checks.drift.{name}: drift is measured of classes and numbers, not of type "
                f"{part.type}; take it out"
            )
