"""What happens before a pipeline starts: a specification is read with all it names but the data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tfx_fusion.modules.errors import Problem, RunError, SpecificationError, UserError
from tfx_fusion.modules.files import check_path
from tfx_fusion.modules.spec import (
    ReadSpecification,
    Specification,
    SpecificationFile,
    read_specification,
)
from tfx_fusion.modules.submodels.inspection_cache import InspectionCache
from tfx_fusion.modules.submodels.interface import Inspection, Interface
from tfx_fusion.modules.validation.names import specification_problems
from tfx_fusion.pipeline.calls import Request, call

# A specification's file, or a specification that was built in Python.
Source = Path | Specification


@dataclass(frozen=True)
class Workplace:
    """The folder `runs` beside a specification: all that runs of it make and remember.

    Of a specification that was built in Python, it is in the working folder.
    """

    folder: Path

    @classmethod
    def of(cls, source: Source) -> Workplace:
        beside = source.resolve().parent if isinstance(source, Path) else Path.cwd()
        return cls(beside / "runs")

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata.sqlite"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def known_submodels(self) -> Path:
        return self.folder / "submodels"


@dataclass(frozen=True)
class Prepared:
    """A specification whose names are valid, with what is known of its sub-models.

    Each imported sub-model has a path; applications and presets have become files.
    """

    specification: Specification
    inspections: dict[str, Inspection]
    file: SpecificationFile | None = None

    @property
    def interfaces(self) -> dict[str, Interface]:
        return {name: found.interface for name, found in self.inspections.items()}

    def locating(self) -> AbstractContextManager[None]:
        """Adds `file:line` to the problems of a SpecificationError raised inside."""
        return self.file.locating() if self.file else nullcontext()


@dataclass
class Examined:
    """A specification as far as it is valid, and every problem found so far.

    Each imported sub-model of `specification` has a path; it is None where too little is valid.
    """

    read: ReadSpecification
    specification: Specification | None
    inspections: dict[str, Inspection]
    problems: list[Problem]

    @property
    def interfaces(self) -> dict[str, Interface]:
        return {name: found.interface for name, found in self.inspections.items()}

    def error(self) -> SpecificationError:
        """The error that shows every problem with its line."""
        return SpecificationError(self.read.locate(self.problems))

    def prepared(self) -> Prepared:
        """The specification, to go on with. Raises SpecificationError where there are problems."""
        if self.specification is None or self.problems:
            raise self.error()
        return Prepared(self.specification, self.inspections, self.read.file)


def prepare(
    source: Source, report: Callable[[str], None], place: Workplace | None = None
) -> Prepared:
    """Reads a specification and all it names but the data, with neither TFX nor TensorFlow.

    `report` is called before what takes longer. The graph of a valid specification is not built
    yet: that waits for the Keras that trains it. Raises SpecificationError with every problem,
    those of the graph among them.
    """
    place = place or Workplace.of(source)
    examined = examine(source, report, place)
    if examined.specification is not None and examined.problems:
        raise _whole_error(examined, source, place)
    return examined.prepared()


def _whole_error(examined: Examined, source: Source, place: Workplace) -> SpecificationError:
    """The error with the problems of the graph too, which another process builds.

    Keras on NumPy answers in seconds, but could not be exchanged here for the one that trains.
    """
    try:
        call(Request.of("check", source, place.folder))
    except SpecificationError as error:
        return error
    except (UserError, RuntimeError):  # of the data, say: it is reported when they are needed
        pass
    return examined.error()


def examine(
    source: Source, report: Callable[[str], None], place: Workplace | None = None
) -> Examined:
    """Reads a specification and all it names but the data, and collects every problem."""
    read = (
        read_specification(source) if isinstance(source, Path) else ReadSpecification(None, source)
    )
    if read.specification is None:
        return Examined(read, None, {}, list(read.problems))
    cache = InspectionCache((place or Workplace.of(source)).known_submodels)
    inspections, problems = _inspect(cache, read.specification, report)
    return Examined(
        read,
        cache.with_paths(read.specification),
        inspections,
        [*read.problems, *specification_problems(read.specification, read.invalid), *problems],
    )


def _inspect(
    cache: InspectionCache, specification: Specification, report: Callable[[str], None]
) -> tuple[dict[str, Inspection], list[Problem]]:
    """What is known of the sub-models that can be read, and the problems of the others."""
    try:
        return cache.inspect(specification, report), []
    except SpecificationError as error:
        problems = error.found
    failed = {problem.key.split(".")[1] for problem in problems}  # submodels.NAME.path
    others = {name: item for name, item in specification.submodels.items() if name not in failed}
    # By now these are known, so that this takes no time.
    readable = specification.model_copy(update={"submodels": others})
    return cache.inspect(readable, report), problems


def check_writable(folder: Path, key: str) -> None:
    """Raises RunError where nothing can be written below a folder that may not exist yet.

    Nor may its path be one that some library takes for another.
    """
    check_path(folder, key)
    place = folder
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise RunError(
            f"{key}: {folder}: expected a folder to write to, {place}: {error.strerror}; "
            "name another path or change its rights"
        ) from None
