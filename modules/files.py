"""Whole files or none, also after a power failure: written aside, flushed, then renamed.

Everything that gets its name by a rename goes through this module; a test looks for other renames.
"""

import errno
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TextIO

from tfx_fusion.modules.errors import RunError

# The machine and the process that write it are in the name, so that what a killed one left can be
# found, and what another machine writes in a shared folder stays. The name that it will get is not
# in it: a long one would be too long.
HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
ASIDE = re.compile(rf"\.{HOST}-(\d+)-[0-9a-f]{{8}}\.tmp(\.\w+)?")
# Not every file system can flush a folder.
NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)

damaged = logging.getLogger("fusion.damaged")


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, and makes its folders."""
    with whole_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write, of the same ending, that takes its name only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        yield aside
        put_in_place(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that takes its name only when the block ends well."""
    with folder_aside(path) as aside:
        yield aside
        shutil.rmtree(path, ignore_errors=True)
        put_in_place(aside, path)


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """A folder beside a file or folder for the parts of it, removed when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


# TensorFlow and Beam take a path with these for a pattern, which other folders match as well.
PATTERN = "*?[\\"
UNUSABLE = ("Cc", "Cs")  # control characters, and what is no UTF-8 (as Python decodes it)
# Linux allows 4,096; a run appends the names of its steps' files.
MOST_BYTES = 3_500


def check_path(path: Path, key: str, most_bytes: int = MOST_BYTES) -> None:
    """Raises RunError for a path that TensorFlow, Beam or the file system would not take as it is.

    `key` says what the path is of.
    """
    found = sorted(set(PATTERN) & set(str(path)))
    if found:
        raise RunError(
            f"{key}: {path}: TensorFlow reads {' and '.join(found)} in a path as a pattern: rename "
            "the folder"
        )
    if any(unicodedata.category(character) in UNUSABLE for character in str(path)):
        raise RunError(
            f"{key}: {str(path)!r}: expected UTF-8 without control characters: rename the folder"
        )
    length = len(str(path).encode())
    if length > most_bytes:
        raise RunError(
            f"{key}: {path}: the path has {length:,} bytes, at most {most_bytes:,} leave room for "
            "the files in it: move the folder"
        )


def put_in_place(aside: Path, path: Path) -> None:
    """Renames a finished file or folder; its content and its name survive a power failure then.

    A file at `path` is replaced. Raises OSError where a folder with content is there.
    """
    for entry in (aside, *aside.rglob("*")) if aside.is_dir() else (aside,):
        if not entry.is_symlink():
            _flush(entry)
    move(aside, path)


def move(source: Path, target: Path) -> None:
    """Renames what is on the disk already; its new name survives a power failure."""
    source.replace(target)
    _flush(target.parent)
    if source.parent != target.parent:
        _flush(source.parent)


def set_aside(path: Path, reason: str, consequence: str) -> Path:
    """Renames what is damaged, so that it is in nobody's way, and logs a message that names it."""
    names = (f"{path.name}.damaged{f'-{n}' if n > 1 else ''}" for n in count(1))
    target = next(place for place in map(path.with_name, names) if not place.exists())
    move(path, target)
    damaged.warning(
        "%s is damaged (%s): it was renamed to %s; %s", path, reason, target.name, consequence
    )
    return target


def remove_unfinished(folder: Path, below: bool = True) -> None:
    """Deletes what ended processes of this machine left half-written in a folder, and below it."""
    for path in list(folder.glob(f"{'**/' if below else ''}.*.tmp*")):
        found = ASIDE.fullmatch(path.name)
        if found is None or _is_alive(int(found[1])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def hold(file: Path, wait: bool = True) -> Iterator[TextIO]:
    """Holds the lock of a file, which the system releases when the process ends, however it does.

    Raises BlockingIOError where another holds it and `wait` is off.
    """
    with file.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield lock


def is_held(file: Path) -> bool:
    """Whether a process that has not ended holds the lock of a file."""
    try:
        with file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _aside(path: Path) -> Path:
    return path.with_name(f".{HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not path.is_dir() or error.errno not in NO_FLUSH:
            raise
    finally:
        os.close(descriptor)
