"""Everything that is invalid in a specification, or what it says, with Keras on NumPy.

Who may not import that Keras, since it trains with another, asks another process
(`pipeline.calls`).
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import Problem, RunError, SpecificationError
from tfx_fusion.modules.graph.node_row import NodeRow
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Inspection
from tfx_fusion.pipeline.beam import choose, in_words, size_to_choose_by
from tfx_fusion.pipeline.prepare import Examined, Prepared, Source, Workplace, examine

if TYPE_CHECKING:  # it imports Keras
    from tfx_fusion.modules.graph.build import FusedModel


# Keras imports these where they are installed, for wrappers and viewers that nobody needs here;
# together they take a second and a half.
OPTIONAL = ("sklearn", "IPython", "matplotlib", "pandas")
# The NumPy backend takes convolutions and Fourier transforms from here. Importing it takes 0.7
# seconds, and a check hardly ever computes one: Keras knows their shapes without.
SELDOM = ("jax", "keras.src.backend.jax.math")


class _Later(ModuleType):
    """A module, or something in it, that is imported when it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if any(isinstance(sys.modules.get(part), _Later) for part in SELDOM):  # Keras names it only
            return _Later(f"{self.__name__}.{name}")
        return getattr(self._import(), name)

    def __call__(self, *given: Any) -> Any:
        return self._import()(*given)

    def _import(self) -> Any:
        if self.__name__ in SELDOM:
            return importlib.import_module(self.__name__)
        module, _, name = self.__name__.rpartition(".")
        return getattr(importlib.import_module(module), name)


def import_light_keras() -> None:
    """Imports Keras on its NumPy backend, where weights stay zeros.

    To be called before anything else imports Keras.
    """
    os.environ["KERAS_BACKEND"] = "numpy"
    hidden = [name for name in OPTIONAL if name not in sys.modules]
    for name in hidden:
        # An entry of None makes an import fail as if the package were absent (Python's import
        # reference, "The module cache").
        sys.modules[name] = None  # type: ignore[assignment]
    later = [name for name in SELDOM if name not in sys.modules]
    sys.modules.update({name: _Later(name) for name in later})
    try:
        importlib.import_module("keras")
    finally:
        for name in hidden + later:
            del sys.modules[name]
    from tfx_fusion.modules.keras_compat import skip_initializers

    skip_initializers()


class Checked(BaseModel):
    """A valid specification, and what it resolves to.

    Args:
        specification: each imported sub-model has a path; applications and presets have become
            files.
        inspections: the interface and digest of each imported sub-model.
        nodes: features, sub-models, nodes and outputs, with shapes and parameters.
        stages: what each stage of training learns from.
        notes: what could not be checked, and how Beam would run.
        picture: the graph as SVG, where it was asked for.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    specification: Specification
    inspections: dict[str, Inspection]
    nodes: tuple[NodeRow, ...]
    stages: dict[str, str]
    notes: tuple[str, ...]
    picture: str = ""

    @property
    def trainable(self) -> int:
        """How many parameters some stage trains."""
        return sum(node.trainable for node in self.nodes)

    @property
    def frozen(self) -> int:
        """How many parameters no stage trains."""
        return sum(node.frozen for node in self.nodes)

    def __repr__(self) -> str:
        return (
            f"<Checked {self.specification.name}: {len(self.nodes)} nodes, "
            f"{self.trainable:,} trainable and {self.frozen:,} frozen parameters>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from tfx_fusion.pipeline.notebook import checked_html

        return checked_html(self)


def check(
    source: Source,
    report: Callable[[str], None],
    place: Workplace | None = None,
    picture: bool = False,
) -> Checked:
    """Checks a whole specification without TFX and without the rows of its data.

    Args:
        source: the specification or its file.
        report: called before what takes longer.
        place: the folder of its runs, where sub-models that were read are remembered.
        picture: whether to draw the graph.

    Raises SpecificationError with every problem, RunError where the data file cannot be read.
    """
    examined = examine(source, report, place)
    fused = check_graph(examined)
    from tfx_fusion.modules.embedding.plan import plan_stages
    from tfx_fusion.modules.graph.describe import describe

    prepared = examined.prepared()
    specification = prepared.specification
    plans = plan_stages(specification, fused)
    size, notes = None, []
    if specification.data.path.exists():
        size = size_to_choose_by(specification)
    else:
        notes.append(f"data not checked: {specification.data.path} does not exist yet")
    return Checked(
        specification=specification,
        inspections=prepared.inspections,
        nodes=tuple(describe(specification, prepared.interfaces, fused)),
        stages={
            stage.name: str(plan)
            for stage, plan in zip(specification.training.stages, plans, strict=True)
        },
        notes=(*notes, *in_words(choose(specification, size))),
        picture=_picture(prepared, fused) if picture else "",
    )


def _picture(prepared: Prepared, fused: FusedModel) -> str:
    from tfx_fusion.modules.graph.picture import draw_graph  # it imports Matplotlib

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.svg")
        draw_graph(prepared.specification, prepared.interfaces, fused, path)
        return path.read_text(encoding="utf-8")


def check_graph(examined: Examined) -> FusedModel:
    """Builds the graph of a specification, and looks at the columns of its data.

    Raises SpecificationError with every problem, those found before among them.
    """
    if examined.specification is None:
        raise examined.error()
    import_light_keras()
    from tfx_fusion.modules.validation.validate import graph_problems

    invalid = examined.read.invalid
    fused, problems = graph_problems(examined.specification, examined.interfaces, invalid)
    examined.problems += problems
    if "data" not in invalid:
        try:
            examined.problems += _column_problems(examined.specification)
        except RunError:  # the data cannot be read: this is reported when all else is valid
            if not examined.problems:
                raise
    if fused is None or examined.problems:
        raise examined.error()
    return fused


def _column_problems(specification: Specification) -> list[Problem]:
    """What a data file that exists lacks."""
    if specification.data.path.exists():
        try:
            RowSource.of(specification).check_columns()
        except SpecificationError as error:
            return error.found
    return []
