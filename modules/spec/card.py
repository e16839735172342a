"""What people should know of a model before they use it."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from tfx_fusion.modules.spec.base import Part

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Card(Part):
    """What a model is meant for, and where it must not be relied on; for the report of a run."""

    intended_use: Words | None = None
    limits: Words | None = None
