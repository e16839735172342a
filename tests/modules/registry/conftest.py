"""A publish folder without TensorFlow: what the registry moves about is folders of files."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tfx_fusion.modules.registry.publish import Published, current_champion, publish
from tfx_fusion.modules.registry.version_record import DataSource, Provenance, Source
from tfx_fusion.modules.registry.versions import all_versions

BOUND = {"colour": {"accuracy": {"min": 0.5, "max": None}}}


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[[str], Path]:
    """A folder laid out as a SavedModel, with some content of its own."""

    def make(content: str) -> Path:
        folder = tmp_path / "models" / content
        for name in ("saved_model.pb", "variables/variables.index", "assets.extra/trained.npz"):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{content} {name}")
        return folder

    return make


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
        run="20261123-041501",
        specification={"name": "colours", "evaluation": {"thresholds": BOUND}},
        data=DataSource(path="data/rows.csv", fingerprint="f" * 64),
        submodels={"vision": Source(digest="ab" * 32, origin="models/vision.keras")},
    )


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    """The publish folder; nothing is in it yet."""
    return tmp_path / "serving"


@pytest.fixture
def publish_content(
    make_model: Callable[[str], Path], provenance: Provenance, serving: Path
) -> Callable[..., Published]:
    """Publishes a model of some content, each time as another run's unless one is named.

    Each is compared with the champion of that moment.
    """
    runs = map(str, count())

    def attempt(content: str, keep: int | None = None, run: str | None = None) -> Published:
        metrics = {"colour": {"accuracy": 0.75}}
        origin = provenance.model_copy(update={"run": run or next(runs)})
        champion = current_champion(serving)
        return publish(make_model(content), serving, origin, metrics, champion, keep)

    return attempt


@pytest.fixture
def contents(serving: Path) -> Callable[[], dict[str, str]]:
    """`live` or `rolled back` by the content of each published model, oldest first."""

    def read() -> dict[str, str]:
        return {
            (version.path / "saved_model.pb").read_text().split()[0]: "rolled back"
            if version.rolled_back
            else "live"
            for version in all_versions(serving)
        }

    return read
