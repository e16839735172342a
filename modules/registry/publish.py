"""Publishing a version: copied aside, then renamed into the folder that TF Serving watches."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.changes import PUBLISHING, locked, remove
from tfx_fusion.modules.registry.manifest import (
    MANIFEST_FILE,
    STATISTICS_FILE,
    Gates,
    Manifest,
    Metrics,
    Provenance,
    model_digest,
    published_digest,
    read_manifest,
)
from tfx_fusion.modules.registry.versions import (
    Version,
    all_versions,
    check_publish_folder,
    next_number,
)


@dataclass(frozen=True)
class Outcome:
    """What came of publishing a model, the version that it is, and the manifest of a new one.

    `already published`: it is the version served now. `rolled back`: it was published before and
    set aside since, which publishing does not undo.
    """

    version: Version
    status: Literal["published", "already published", "rolled back"]
    manifest: Manifest | None = None


def publish(
    model: Path,
    folder: Path,
    provenance: Provenance,
    metrics: Metrics,
    champion: str | None,
    keep: int | None,
    statistics: Path | None = None,
) -> Outcome:
    """Publishes a SavedModel as the newest version of a publish folder, whole or not at all.

    Args:
        model: the SavedModel's folder.
        folder: the publish folder.
        provenance: what the model came from.
        metrics: what was measured of it, by output.
        champion: the version it was compared with.
        keep: how many versions to keep, this one among them; None keeps all.
        statistics: the file of the training data's statistics, to go with the version.
    """
    check_publish_folder(folder)
    digest = model_digest(model)
    with locked(folder) as own:
        outcome = _known(folder, digest, provenance.run)
        if outcome is None:
            aside = own / PUBLISHING
            shutil.copytree(model, aside)
            number = next_number(folder, int(time.time()))
            manifest = Manifest(
                **dict(provenance),
                version=str(number),
                published=datetime.now(UTC),
                model_digest=digest,
                metrics=metrics,
                gates=Gates(evaluation=provenance.specification["evaluation"], champion=champion),
            )
            write_text(aside / MANIFEST_FILE, manifest.model_dump_json(indent=1) + "\n")
            if statistics is not None:
                shutil.copyfile(statistics, aside / STATISTICS_FILE)
            version = Version(folder / str(number))
            aside.rename(version.path)
            outcome = Outcome(version, "published", manifest)
        if keep is not None and outcome.status != "rolled back":
            # One without a manifest was put there by somebody else: it is not ours to delete.
            ours = [one for one in all_versions(folder) if (one.path / MANIFEST_FILE).is_file()]
            for surplus in _surplus(ours, keep):
                remove(own, surplus.path)
    return outcome


def _known(folder: Path, digest: str, run: str) -> Outcome | None:
    """What a model is already: the version served, one rolled back, or one of the same run.

    An older version of another run is none: serving it again means to publish it anew. Of the
    same run it is what an earlier attempt at this published.
    """
    versions = all_versions(folder)
    live = [version for version in versions if not version.rolled_back]
    for version in live:
        if _made_by(version, run) and published_digest(version.path) == digest:
            return Outcome(version, "already published")
    if live and published_digest(live[-1].path) == digest:
        return Outcome(live[-1], "already published")
    for version in reversed(versions):
        if version.rolled_back and published_digest(version.path) == digest:
            return Outcome(version, "rolled back")
    return None


def _made_by(version: Version, run: str) -> bool:
    try:
        manifest = read_manifest(version.path)
    except RunError:  # damaged; who lists the versions is told
        return False
    return manifest is not None and manifest.run == run


def _surplus(versions: list[Version], keep: int) -> list[Version]:
    """The versions beyond `keep`: first those rolled back, then the oldest.

    Never the served one, nor one that was rolled back to while what it replaced is still there.
    """
    live = [version for version in versions if not version.rolled_back]
    aside = [version for version in versions if version.rolled_back]
    needed = {version.number for version in live[-1:]}
    for replaced in aside:
        needed.update([v.number for v in live if v.number < replaced.number][-1:])
    spare = [version for version in [*aside, *live] if version.number not in needed]
    return spare[: max(len(versions) - keep, 0)]
