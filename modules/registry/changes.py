"""Changes of a publish folder: one at a time, and atomic.

Intermediate files are in `.registry`, on the same file system, so that a rename moves them. The
system releases the lock of a killed process; the next change cleans up after it.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tfx_fusion.modules.errors import RunError, first_line
from tfx_fusion.modules.files import hold, move, remove_unfinished, set_aside, write_text

OWN_FOLDER = ".registry"
LOCK = "lock"
RENAMES = "renames.json"
PUBLISHING = "publishing"
REMOVING = "removing"


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Holds the lock of a publish folder; yields the registry's own folder in it.

    Raises RunError where it cannot be written.
    """
    own = folder / OWN_FOLDER
    try:
        own.mkdir(parents=True, exist_ok=True)
        (own / LOCK).touch()
    except OSError as error:
        raise RunError(
            f"{own}: expected a folder to write to: {error.strerror}; change its permissions"
        ) from None
    with hold(own / LOCK):
        _clean_up(own)
        try:
            yield own
        except BaseException:
            _clean_up(own)  # a half copy may be what filled the disk
            raise


def clean_up(folder: Path) -> None:
    """Removes what killed changes of a publish folder left, unless a change is going on."""
    own = folder / OWN_FOLDER
    with suppress(OSError), hold(own / LOCK, wait=False):
        _clean_up(own)


def _clean_up(own: Path) -> None:
    _undo_partial_renames(own)
    for name in (PUBLISHING, REMOVING):
        shutil.rmtree(own / name, ignore_errors=True)
    remove_unfinished(own)


def rename_all(own: Path, renames: Sequence[tuple[Path, Path]]) -> None:
    """Renames entries of the publish folder in their order: all of them, or none.

    The last rename decides: if it is not reached, those before it are undone, by the next change
    if this process is killed. So it should be the one that a model server notices.
    """
    journal = [[source.name, target.name] for source, target in renames]
    write_text(own / RENAMES, json.dumps(journal))
    try:
        for source, target in renames:
            move(source, target)
    finally:
        _undo_partial_renames(own)


def remove(own: Path, entry: Path) -> None:
    """Removes an entry of the publish folder by a rename, then deletes it."""
    removed = own / REMOVING
    move(entry, removed)
    shutil.rmtree(removed, ignore_errors=True)  # the next change deletes what is left


def _undo_partial_renames(own: Path) -> None:
    """Undoes renames of which the last one was not reached."""
    file = own / RENAMES
    if not file.is_file():
        return
    folder = own.parent
    try:
        renames = [(folder / old, folder / new) for old, new in json.loads(file.read_bytes())]
    except (ValueError, TypeError) as error:
        set_aside(
            file, first_line(error),
            f"a rollback in {folder} may have been made in part: `fusion versions` lists it",
        )  # fmt: skip
        return
    if renames[-1][0].exists():
        for source, target in reversed(renames):
            if target.exists() and not source.exists():
                move(target, source)
    file.unlink()
