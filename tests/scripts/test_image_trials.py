"""What the check of the image finds in a root file system that is not as it should be."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from image_trials import TrialError, check_leftovers, check_locked  # noqa: E402

LOCK = "numpy==2.1 ; python_full_version < '3.12' \\\n    --hash=x\nnumpy==2.2 \\\nruff==1.0 \\\n"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root file system with two packages, and a project with a lock that pins one of them."""
    (tmp_path / "requirements.lock").write_text(LOCK)
    for name, version in (("fusion", "0.1.0"), ("NumPy", "2.2")):
        add(tmp_path, name, version)
    return tmp_path


def add(system: Path, name: str, version: str) -> None:
    place = system / "opt/venv/lib/python3.13/site-packages" / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    header = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (place / "METADATA").write_text(f"{header}\nIts text\nName: another\n")


def test_packages_that_the_lock_pins_pass(system: Path) -> None:
    check_locked(system, system)


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [
        ("rich", "13.0", "rich 13.0, which the lock does not pin"),
        ("ruff", "1.0", "ruff, which is no part of it"),
    ],
)
def test_other_packages_are_told(system: Path, name: str, version: str, told: str) -> None:
    add(system, name, version)

    with pytest.raises(TrialError, match=told):
        check_locked(system, system)


@pytest.mark.parametrize("left", ["usr/bin/g++", "var/lib/apt/lists/a_b", "tmp/x", "opt/tools"])
def test_leftovers_of_the_build_are_told(system: Path, left: str) -> None:
    check_leftovers(system)
    (system / left).mkdir(parents=True)

    with pytest.raises(
        TrialError, match=re.escape(f"the build in the image, found {system}/{left}")
    ):
        check_leftovers(system)
