"""The files of an artifact, as they were when the step that made them ended.

They stand in a file of the artifact's folder: by path, the size, the digest and, of record files,
the number of rows. The digest of that file is a property of the artifact. A reader takes exactly
these files, or fails: a folder may have been used twice, a copy may have been cut short.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from pydantic import BaseModel, ValidationError

from tfx_fusion.modules.data.records import count_records
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import put_in_place, write_text

LIST_FILE = "files.json"
PREFIX = "data_tfrecord-"
# The second name is that of examples that Transform has materialized.
SHARD = re.compile(r"(?:data_tfrecord|transformed_examples)-(\d{5,})-of-(\d{5,})(?:\.gz)?")


class ListedFile(BaseModel):
    """A file: its bytes, their digest (SHA-256), and its rows where it is an uncompressed shard."""

    size: int
    digest: str
    rows: int | None = None


class FileList(BaseModel):
    """The files of a folder by their paths in it."""

    files: dict[str, ListedFile]

    def to_json(self) -> str:
        """The list as it is stored."""
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"


def list_files(folder: Path, store: bool = True) -> str:
    """Lists the files of a folder as they are; returns the digest of the list.

    `store` writes the list into the folder; a folder that must hold a single file has none.
    """
    found = {
        name: ListedFile(size=path.stat().st_size, digest=_digest(path), rows=_rows(path))
        for name, path in _files(folder).items()
    }
    text = FileList(files=found).to_json()
    if store:
        write_text(folder / LIST_FILE, text)
    return hashlib.sha256(text.encode()).hexdigest()


def check_files(folder: Path, digest: str) -> None:
    """Raises RunError, which names the file, where a folder is not as a list of some digest says.

    A file whose entry in the file system has not changed since this process read it is not read
    again.
    """
    listed = _read_list(folder)
    if listed is None:
        if not folder.is_dir() or list_files(folder, store=False) != digest:
            raise _unlike(folder, folder, "its files are missing or were changed")
        return
    if hashlib.sha256(listed.to_json().encode()).hexdigest() != digest:
        raise _unlike(folder / LIST_FILE, folder, "the list is of other files")
    _compare(folder, listed, "")


Folders = str | Sequence[str]


def example_files(folders: Folders) -> list[str]:
    """The record files of a split, in the order of the rows.

    Raises RunError, with the file, where one is missing, additional, or not as it was recorded.
    The files of a folder that no step of this project wrote are known by their names only.
    """
    several = [folders] if isinstance(folders, str) else folders
    return [file for folder in several for file in _files_of_split(Path(folder))]


def _files_of_split(split: Path) -> list[str]:
    above = split.parent.parent  # predictions lie deeper in their artifact than other examples
    root = above if (above / LIST_FILE).is_file() else split.parent
    listed = _read_list(root)
    if listed is not None:
        _compare(root, listed, f"{split.relative_to(root).as_posix()}/")
    if not split.is_dir():
        return []
    names = sorted(file.name for file in split.iterdir() if not file.name.startswith("."))
    shards = {name: SHARD.fullmatch(name) for name in names}
    totals = {int(match[2]) for match in shards.values() if match}
    for name, match in shards.items():
        if match is None:
            raise _unlike(split / name, root, f"expected {PREFIX}NNNNN-of-NNNNN only")
    if len(totals) > 1:
        counts = ", ".join(f"-of-{total:05d}" for total in sorted(totals))
        raise _unlike(split, root, f"it holds the files of several runs ({counts})")
    numbers = [int(match[1]) for match in shards.values() if match]
    for number in range(max(totals, default=0)):
        if number not in numbers:
            missing = re.sub(r"-\d+-of-", f"-{number:05d}-of-", names[0])
            raise _unlike(split / missing, root, "the file is missing")
    return [str(split / name) for name in names]


def shard_name(place: int, total: int) -> str:
    """The name of one of several record files, by its place among them from 0."""
    return f"{PREFIX}{place:05d}-of-{total:05d}"


def is_transformed(file: str) -> bool:
    """Whether a record file holds examples that Transform has materialized, by its name."""
    return Path(file).name.startswith("transformed_examples-")


def temporary_file(file: str) -> str:
    """Where a record file is written before its rename: no reader takes a file of this name."""
    folder, _, name = file.rpartition("/")
    return f"{folder}/.{name}.tmp"


def finish(file: str) -> None:
    """Gives a record file that was written under its temporary name its own."""
    if "://" in file:  # in a store of objects, where TensorFlow's rename is all there is
        tf.io.gfile.rename(temporary_file(file), file, overwrite=True)
    else:
        put_in_place(Path(temporary_file(file)), Path(file))


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their paths in it, without the list."""
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    found.pop(LIST_FILE, None)
    return found


def _read_list(folder: Path) -> FileList | None:
    path = folder / LIST_FILE
    if not path.is_file():
        return None
    try:
        return FileList.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _unlike(path, folder, "the list is damaged") from error


def _compare(folder: Path, listed: FileList, below: str) -> None:
    """Compares the files whose paths begin with `below`."""
    wanted = {name: file for name, file in listed.files.items() if name.startswith(below)}
    found = {name: path for name, path in _files(folder).items() if name.startswith(below)}
    for name, file in wanted.items():
        if name not in found:
            raise _unlike(folder / name, folder, "the file is missing")
        size = found[name].stat().st_size
        if size != file.size:
            reason = f"expected {file.size:,} bytes, found {size:,}"
            if file.rows is not None:
                reason += f" (of {file.rows:,} rows)"
            raise _unlike(folder / name, folder, reason)
        if _digest(found[name]) != file.digest:
            raise _unlike(folder / name, folder, "its content was changed")
    for name in found.keys() - wanted.keys():
        raise _unlike(folder / name, folder, "no step wrote this file")


def _unlike(path: Path, folder: Path, reason: str) -> RunError:
    return RunError(
        f"{path}: {reason}: the artifact is not as its step left it. Run again, which makes it "
        f"anew; if that does not help, delete {folder}"
    )


def _rows(path: Path) -> int | None:
    match = SHARD.fullmatch(path.name)
    return count_records(path) if match and path.suffix != ".gz" else None


# By path: the file's entry when it was read, and the digest of its content. The time of change of
# an entry cannot be set, so that any writing since is noticed.
_digests: dict[str, tuple[tuple[int, ...], str]] = {}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        state = os.fstat(stream.fileno())
        entry = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        known = _digests.get(str(path))
        if known and known[0] == entry:
            return known[1]
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    _digests[str(path)] = entry, digest
    return digest
