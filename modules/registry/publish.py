"""Publishing a version: copied beside, then renamed into the folder that TF Serving watches."""

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import put_in_place, write_text
from tfx_fusion.modules.registry.changes import PUBLISHING, locked, remove
from tfx_fusion.modules.registry.version_record import (
    STATISTICS_FILE,
    VERSION_RECORD_FILE,
    Gates,
    Metrics,
    Provenance,
    VersionRecord,
    model_digest,
    published_digest,
    read_version_record,
)
from tfx_fusion.modules.registry.versions import (
    Champion,
    Version,
    all_versions,
    check_publish_folder,
    newest_version,
    next_number,
)


@dataclass(frozen=True)
class Published:
    """The result of publishing a model: its version, and the version record of a new one.

    `already published`: it is the version served now. `rolled back`: it was published before and
    rolled back since, which publishing does not undo.
    """

    version: Version
    status: Literal["published", "already published", "rolled back"]
    record: VersionRecord | None = None


NotCompared = Literal["not compared"]
NOT_COMPARED: NotCompared = "not compared"


def publish(
    model: Path,
    folder: Path,
    provenance: Provenance,
    metrics: Metrics,
    champion: Champion | NotCompared | None,
    keep: int | None,
    statistics: Path | None = None,
) -> Published:
    """Publishes a SavedModel as the newest version of a publish folder, atomically.

    Nobody else changes the folder from the look at its champion to the new version.

    Args:
        model: the SavedModel's folder.
        folder: the publish folder.
        provenance: what the model came from.
        metrics: what was measured of it, by output.
        champion: the champion that the run found, which must still be the one; NOT_COMPARED
            where the candidate was compared with none.
        keep: how many versions to retain, including this one; None retains all.
        statistics: the file of the training data's statistics, to go with the version.

    Raises RunError where another model is the champion by now, or the copy is not the model.
    """
    check_publish_folder(folder)
    digest = model_digest(model)
    with locked(folder) as own:
        outcome = _already_there(folder, digest, provenance.run)
        if outcome is None:
            if champion != NOT_COMPARED:
                _check_champion(folder, champion)
            compared = champion.compared if isinstance(champion, Champion) else None
            copy = own / PUBLISHING
            shutil.copytree(model, copy)
            if model_digest(copy) != digest:
                raise RunError(f"{model}: the model changed while it was copied: run again")
            number = next_number(folder, int(time.time()))
            record = VersionRecord(
                **dict(provenance),
                version=str(number),
                published=datetime.now(UTC),
                model_digest=digest,
                metrics=metrics,
                gates=Gates(evaluation=provenance.specification["evaluation"], champion=compared),
            )
            write_text(copy / VERSION_RECORD_FILE, record.model_dump_json(indent=1) + "\n")
            if statistics is not None:
                shutil.copyfile(statistics, copy / STATISTICS_FILE)
            version = Version(folder / str(number))
            put_in_place(copy, version.path)
            outcome = Published(version, "published", record)
        if keep is not None and outcome.status != "rolled back":
            # A version without a record was not published by us: it is not ours to delete.
            ours = [v for v in all_versions(folder) if (v.path / VERSION_RECORD_FILE).is_file()]
            for surplus in _surplus(ours, keep):
                remove(own, surplus.path)
    return outcome


def current_champion(folder: Path) -> Champion | None:
    """The champion of a publish folder at this moment; None where nothing is served."""
    version = newest_version(folder)
    return Champion(version.name, published_digest(version)) if version else None


def version_of(folder: Path, model: Path) -> Champion:
    """The version of a publish folder that a model is; one that is none goes by its path."""
    digest = model_digest(model)
    live = [version for version in all_versions(folder) if not version.rolled_back]
    names = [v.name for v in reversed(live) if published_digest(v.path) == digest]
    return Champion(names[0] if names else str(model), digest)


def _check_champion(folder: Path, expected: Champion | None) -> None:
    """Raises RunError where the champion is not the one that the candidate was compared with.

    The same model under the same number is the same champion, also when it was rolled back and
    forward meanwhile, or its version record was restored.
    """
    found = current_champion(folder)
    if _identity(found) == _identity(expected):
        return
    compared = "no version, there was none"
    if expected:
        compared = f"{'version ' * expected.version.isdecimal()}{expected.version}"
    if found is None:
        now = "no version is served"
    elif expected and found.version == expected.version:
        now = "another model is served under this number"
    else:
        now = f"version {found.version} is served"
    raise RunError(
        f"{folder}: the champion changed during the run: the model was compared with {compared}, "
        f"but now {now}. It was not published; `fusion run` again compares it with the champion of "
        "then and reuses what was trained"
    )


def _identity(champion: Champion | None) -> tuple[str, str] | None:
    return (champion.version, champion.digest) if champion else None


def _already_there(folder: Path, digest: str, run: str) -> Published | None:
    """The existing version of a model: the one served, one rolled back, or one of the same run.

    An older version of another run does not count: to serve it again, it is published anew. One of
    the same run was published by an earlier attempt.
    """
    versions = all_versions(folder)
    live = [version for version in versions if not version.rolled_back]
    for version in live:
        if _made_by(version, run) and published_digest(version.path) == digest:
            return Published(version, "already published")
    if live and published_digest(live[-1].path) == digest:
        return Published(live[-1], "already published")
    for version in reversed(versions):
        if version.rolled_back and published_digest(version.path) == digest:
            return Published(version, "rolled back")
    return None


def _made_by(version: Version, run: str) -> bool:
    try:
        record = read_version_record(version.path)
    except RunError:  # damaged, which `fusion versions` reports
        return False
    return record is not None and record.run == run


def _surplus(versions: list[Version], keep: int) -> list[Version]:
    """The versions beyond `keep`: first those rolled back, then the oldest.

    Never the served one, nor one that was rolled back to while what it replaced is still there.
    """
    live = [version for version in versions if not version.rolled_back]
    rolled_back = [version for version in versions if version.rolled_back]
    needed = {version.number for version in live[-1:]}
    for replaced in rolled_back:
        needed.update([v.number for v in live if v.number < replaced.number][-1:])
    spare = [version for version in [*rolled_back, *live] if version.number not in needed]
    return spare[: max(len(versions) - keep, 0)]
