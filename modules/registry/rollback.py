"""Going back to an earlier version, and forward again.

TF Serving serves the highest number, so every version above the wanted one is set aside under a
name that it does not read. It notices a single change, whatever else is renamed before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.changes import locked, rename_all
from tfx_fusion.modules.registry.versions import (
    Version,
    all_versions,
    check_publish_folder,
    version_named,
)


@dataclass(frozen=True)
class Rollback:
    """The version served now, and those that were set aside for it."""

    served: Version
    set_aside: list[Version]


def roll_back(folder: Path, name: str | None) -> Rollback:
    """Has a version served, which may have been rolled back itself: whole or not at all.

    Args:
        folder: the publish folder.
        name: the version's number; None takes the one before that served now.

    Raises RunError where there is no such version.
    """
    check_publish_folder(folder)
    if not all_versions(folder):
        raise RunError(f"{folder}: nothing has been published yet, so there is nothing to go back")
    with locked(folder) as own:
        live = [version for version in all_versions(folder) if not version.rolled_back]
        wanted = _before(folder, live) if name is None else version_named(folder, name)
        above = [version for version in live if version.number > wanted.number]
        served = Version(folder / wanted.name)
        renames = [(wanted.path, served.path)] if wanted.rolled_back else []
        # Ascending: the one served now goes last, and with it all is decided.
        renames += [(version.path, version.set_aside()) for version in above]
        if renames:
            rename_all(own, renames)
    return Rollback(served, [Version(version.set_aside()) for version in above])


def _before(folder: Path, live: list[Version]) -> Version:
    if len(live) < 2:
        found = f"before {live[0].name}, the only one served" if live else "that is served"
        raise RunError(
            f"{folder}: there is no version {found}; name one of those that `fusion versions` lists"
        )
    return live[-2]
