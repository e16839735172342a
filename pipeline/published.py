"""A published model: its versions, what each was made from, and predictions of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import check_path
from tfx_fusion.modules.registry.version_record import VersionRecord, read_version_record
from tfx_fusion.modules.registry.versions import (
    Version,
    all_versions,
    find_version,
    holds_model,
    statuses,
)
from tfx_fusion.modules.spec import data_file_format, load_specification
from tfx_fusion.pipeline.failure import readable_errors
from tfx_fusion.pipeline.prepare import Workplace
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

if TYPE_CHECKING:  # they import ML Metadata and TensorFlow
    from tfx_fusion.modules.registry.lineage import Lineage, Lineages
    from tfx_fusion.modules.serving.predictor import Prediction
    from tfx_fusion.modules.serving.published import PublishedModel

# Rows, each with its name in messages.
NamedRows = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class PublishedVersion:
    """A version of a published model.

    Args:
        name: its number.
        status: `served`, `retained` or `rolled back`; empty of a version in no publish folder.
        path: its folder.
        record: what it is and was made from; None where it has none that can be read.
        problem: what is wrong with its record.
    """

    name: str
    status: str
    path: Path
    record: VersionRecord | None
    problem: str = ""

    @classmethod
    def of(cls, version: Version, status: str) -> PublishedVersion:
        """A version with its record."""
        try:
            record = read_version_record(version.path)
        except RunError as error:
            return cls(version.name, status, version.path, None, str(error))
        return cls(version.name, status, version.path, record)


class Published:
    """A published model. What is asked of it is read anew each time, but for the loaded model.

    Args:
        folder: the publish folder.
        version: the folder of the version to predict with; the served one unless given.
        metadata: the SQLite file of ML Metadata that has the lineage; the version records have it
            too.
    """

    def __init__(
        self, folder: Path, version: Path | None = None, metadata: Path | None = None
    ) -> None:
        self.folder, self._version, self._metadata = folder, version, metadata

    @property
    def versions(self) -> list[PublishedVersion]:
        """Every version, the newest first."""
        status = statuses(self.folder)
        found = [
            PublishedVersion.of(one, status[one.name])
            for one in all_versions(self.folder)
            if one.name in status  # or it has just been published
        ]
        if self._version and self._version not in [one.path for one in found]:
            return [PublishedVersion.of(Version(self._version), "")]
        return found[::-1]

    @readable_errors()
    def lineage(self, version: str | int | None = None) -> Lineage:
        """What a version was made from: that which predicts, unless given by its number.

        Raises RunError where nothing is recorded of it.
        """
        if version is None:
            version = Version(find_version(self._version or self.folder)).name
        return self.lineages().of_version(str(version))

    def lineages(self) -> Lineages:
        """What every recorded version was made from, also of those no longer in the folder."""
        from tfx_fusion.modules.registry.lineage import lineages

        return lineages(self.folder, self._metadata)

    @readable_errors()
    def predict(self, rows: Any, folder: str | Path | None = None) -> list[Prediction]:
        """The predictions of rows, in their order; one that cannot be used has an `error`.

        The model is loaded once, with the first rows.

        Args:
            rows: mappings of columns to values as in the data file, a pandas DataFrame, or the path
                of a data file. Labels are not needed; media are paths, or bytes. Those that a data
                file names must lie below `folder`.
            folder: media paths are relative to it: the working folder, or that of the data file,
                unless given.

        Raises RunError where the rows are no rows, or the model cannot be loaded.
        """
        if isinstance(rows, str | Path):
            named, beside, root = file_rows(Path(rows)), Path(rows).resolve().parent, None
        else:  # who writes the rows is the one who reads the files
            named, beside, root = _given_rows(rows), Path.cwd(), Path("/")
        return list(self._model.predict(named, Path(folder) if folder else beside, root))

    @cached_property
    def _model(self) -> PublishedModel:
        import_tensorflow_quietly()
        from tfx_fusion.modules.serving.published import PublishedModel

        return PublishedModel(find_version(self._version or self.folder))

    def __repr__(self) -> str:
        versions = [f"{one.name} ({one.status})" for one in self.versions]
        return f"<Published {self.folder}: {', '.join(versions)}>"


def published_at(path: Path) -> Published:
    """The published model of a publish folder, of a version in one, or of a specification's file.

    A folder is given where there is no specification: on the machine that serves, say.
    """
    check_path(path, "the published model")
    if holds_model(path):
        return Published(path.parent, path)
    if path.is_dir():
        return Published(path)
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise RunError(f"{path}: no such folder; give a publish folder or one of its versions")
    return Published(load_specification(path).publish.path, None, Workplace.of(path).metadata)


def open_published(path: Path) -> Published:
    """The published model at a path; raises RunError where no version of it is there."""
    published = published_at(path)
    if not published.versions:
        raise RunError(
            f"{published.folder}: expected version folders as TF Serving reads them, found none: "
            "run the specification to publish one"
        )
    return published


def file_rows(path: Path) -> NamedRows:
    """The rows of a data file; raises RunError for a file of another format."""
    if data_file_format(path) is None:
        raise RunError(f"{path}: expected .csv, .jsonl, .parquet, .tfrecord or .tfrecord.gz")
    return (row for shard in data_file.shards(path) for row in data_file.read(shard))


def _given_rows(rows: Any) -> NamedRows:
    """Rows that a program has, with Python's own values as a data file gives them."""
    if hasattr(rows, "to_dict") and hasattr(rows, "notna"):  # pandas: NaN, NaT and NA are no values
        rows = rows.astype(object).where(rows.notna(), None).to_dict("records")
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        found = "one mapping" if isinstance(rows, Mapping) else type(rows).__name__
        raise RunError(f"the rows: expected a list of mappings of columns to values, found {found}")
    return (_named(number, row) for number, row in enumerate(rows, 1))


def _named(number: int, row: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(row, Mapping):
        raise RunError(
            f"row {number}: expected a mapping of columns to values, found {type(row).__name__}"
        )
    return f"row {number}", {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    """A scalar or an array of NumPy as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value
