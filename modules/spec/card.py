"""What people should know of a model before they use it."""

from typing import Annotated

from pydantic import StringConstraints

from tfx_fusion.modules.spec.base import Part

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Card(Part):
    """The intended use of a model, and its limits; for the report of a run."""

    intended_use: Words | None = None
    limits: Words | None = None
