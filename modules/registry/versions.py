"""The published versions of a model, as TF Serving reads them: folders whose names are numbers.

A version that was rolled back is beside them, under a name that TF Serving does not read.
"""

from dataclasses import dataclass
from pathlib import Path

from tfx_fusion.modules.errors import RunError, suggestion
from tfx_fusion.modules.files import check_path

ROLLED_BACK = ".rolled-back"
MOST, MOST_DIGITS = (1 << 63) - 1, 19


@dataclass(frozen=True)
class Version:
    """A published version: among those that TF Serving chooses from, or rolled back."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(ROLLED_BACK)

    @property
    def number(self) -> int:
        return int(self.name)

    @property
    def rolled_back(self) -> bool:
        return self.path.name.endswith(ROLLED_BACK)

    def rolled_back_path(self) -> Path:
        """Its path once it is rolled back."""
        return self.path.with_name(f"{self.name}{ROLLED_BACK}")


@dataclass(frozen=True)
class Champion:
    """The last published model as a run found it, to compare its candidate with.

    `digest` is that of its model; `not_comparable` is the reason why a candidate cannot be compared
    with it, or empty.
    """

    version: str
    digest: str
    not_comparable: str = ""

    @property
    def compared(self) -> str | None:
        """The version, where a candidate can be compared with it."""
        return None if self.not_comparable else self.version


def holds_model(folder: Path) -> bool:
    """Whether a folder is a published version: it holds a SavedModel."""
    return (folder / "saved_model.pb").is_file()


def check_publish_folder(folder: Path) -> None:
    """Raises RunError where versions would be written into a model's folder."""
    if holds_model(folder):
        raise RunError(
            f"{folder}: expected a folder of versions, found a SavedModel: name another folder; "
            f"of a version, {folder.parent}"
        )


def all_versions(folder: Path) -> list[Version]:
    """Every version in a publish folder by its number, those rolled back too."""
    found = [version for version in _numbered(folder) if holds_model(version.path)]
    return sorted(found, key=lambda version: version.number)


def _numbered(folder: Path) -> list[Version]:
    versions = [Version(path) for path in folder.glob("*")]
    return [version for version in versions if is_version(version.name)]


def is_version(name: str) -> bool:
    """Whether a folder's name is a version to TF Serving: an int64 in plain digits."""
    digits = name.isascii() and name.isdecimal() and len(name) <= MOST_DIGITS
    return digits and int(name) <= MOST


def newest_version(folder: Path) -> Path | None:
    """The newest version in a publish folder: what TF Serving serves, the champion.

    None where nothing has been published yet.
    """
    live = [version for version in all_versions(folder) if not version.rolled_back]
    return live[-1].path if live else None


def find_version(folder: Path) -> Path:
    """The newest version in a publish folder, or the folder itself if it is a version.

    Raises RunError where it is neither.
    """
    check_path(folder, "the published model")
    if holds_model(folder):
        return folder
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; give a publish folder or one of its versions")
    version = newest_version(folder)
    if version is None:
        raise RunError(f"{folder}: expected version folders as TF Serving reads them, found none")
    return version


def statuses(folder: Path) -> dict[str, str]:
    """The status of each version in a publish folder, the newest first."""
    versions = all_versions(folder)
    served = newest_version(folder)
    return {
        version.name: "rolled back"
        if version.rolled_back
        else "served"
        if version.path == served
        else "retained"
        for version in reversed(versions)
    }


def next_number(folder: Path, at_least: int) -> int:
    """A number above those of all numbered folders, also of those without a model."""
    return max([at_least, *(version.number + 1 for version in _numbered(folder))])


def version_named(folder: Path, name: str) -> Version:
    """A version by its number; raises RunError with the nearest one where there is none."""
    versions = {version.name: version for version in all_versions(folder)}
    if name not in versions:
        raise RunError(f"{folder} has no version '{name}'; {suggestion(name, versions)}")
    return versions[name]
