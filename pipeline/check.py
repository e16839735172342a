"""Everything that is invalid in a specification file, with Keras on NumPy.

`python -m tfx_fusion.pipeline.check FILE` prints it as JSON, for commands that may not import that
Keras themselves since they train with another (`pipeline.prepare`).
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import Problem, RunError, SpecificationError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.pipeline.prepare import Examined, examine

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
        examined.problems += _column_problems(examined.specification)
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


def main(file: Path) -> None:
    """Prints every problem of a file as JSON."""
    problems: list[Problem] = []
    examined = examine(file, lambda _: None)
    try:
        check_graph(examined)
    except SpecificationError as error:
        problems = error.found
    except RunError:  # the data cannot be read: this is reported when they are needed
        problems = examined.error().found
    print(json.dumps([dataclasses.asdict(problem) for problem in problems]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
