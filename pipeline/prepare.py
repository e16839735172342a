"""What happens before a pipeline starts: the specification is read and checked as a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tfx_fusion.modules.errors import RunError, SpecificationError, UserError
from tfx_fusion.modules.spec import (
    Specification,
    TextFeature,
    load_specification,
)
from tfx_fusion.modules.spec.vocabulary import PADDING, read_vocabulary
from tfx_fusion.modules.submodels.inspection_cache import InspectionCache
from tfx_fusion.modules.submodels.interface import Inspection, Interface
from tfx_fusion.modules.validation.names import ordered_nodes


@dataclass(frozen=True)
class Workplace:
    """The folder `runs` beside a specification: all that runs of it make and remember."""

    folder: Path

    @classmethod
    def of(cls, specification_file: Path) -> Workplace:
        return cls(specification_file.resolve().parent / "runs")

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
    """A specification that is sound by itself, with what is known of its sub-models.

    Each imported sub-model has a path; applications and presets have become files.
    """

    specification: Specification
    inspections: dict[str, Inspection]

    @property
    def interfaces(self) -> dict[str, Interface]:
        return {name: found.interface for name, found in self.inspections.items()}


def prepare(specification_file: Path, tell: Callable[[str], None]) -> Prepared:
    """Reads a specification and all it names but the data; no TFX and no TensorFlow here.

    `tell` is called before what takes longer. Raises SpecificationError with what is wrong.
    """
    specification = load_specification(specification_file)
    ordered_nodes(specification)
    _check_vocabularies(specification)
    cache = InspectionCache(Workplace.of(specification_file).known_submodels)
    inspections = cache.inspect(specification, tell)
    return Prepared(cache.with_paths(specification), inspections)


def _check_vocabularies(specification: Specification) -> None:
    problems = []
    for name, feature in specification.features.items():
        if not isinstance(feature, TextFeature) or feature.vocabulary is None:
            continue
        try:
            words = read_vocabulary(feature.vocabulary)
        except UserError as error:
            problems.append(f"features.{name}.vocabulary: {error}")
            continue
        if feature.encoding == "ids" and words[0] not in PADDING:
            problems.append(
                f"features.{name}.vocabulary: encoding 'ids' pads with id 0, so the first line "
                f"must be empty or [PAD], found {words[0]!r}"
            )
    if problems:
        raise SpecificationError(problems)


def check_writable(folder: Path, key: str) -> None:
    """Raises RunError where nothing can be written below a folder that may not exist yet."""
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
