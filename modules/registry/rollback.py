"""Going back to an earlier version, and forward again.

TF Serving serves the highest number, so every version above the wanted one is renamed to what
it does not read. It notices a single change, whatever else is renamed before.
"""

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
    """The version served now, and those that were rolled back for it."""

    served: Version
    rolled_back: list[Version]


def roll_back(folder: Path, name: str | None) -> Rollback:
    """Makes a version the served one, also one that was rolled back: atomically.

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
        wanted = _previous(folder, live) if name is None else version_named(folder, name)
        above = [version for version in live if version.number > wanted.number]
        served = Version(folder / wanted.name)
        renames = [(wanted.path, served.path)] if wanted.rolled_back else []
        # Ascending: the rename of the one served now is the last and decides.
        renames += [(version.path, version.rolled_back_path()) for version in above]
        if renames:
            rename_all(own, renames)
    return Rollback(served, [Version(version.rolled_back_path()) for version in above])


def _previous(folder: Path, live: list[Version]) -> Version:
    if len(live) < 2:
        found = f"before {live[0].name}, the only one served" if live else "that is served"
        raise RunError(
            f"{folder}: there is no version {found}; name one of those that `fusion versions` lists"
        )
    return live[-2]
