"""The image of `kubeflow/Dockerfile`: buildah builds it, and a pipeline runs in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from check_image import NOT_CHECKED, ImageError, check_leftovers, check_locked  # noqa: E402

LOCK = "numpy==2.1 ; python_full_version < '3.12' \\\n    --hash=x\nnumpy==2.2 \\\nruff==1.0 \\\n"


@pytest.mark.end_to_end
def test_buildah_builds_an_image_that_runs_a_pipeline() -> None:
    script = ROOT / "scripts" / "check_image.py"

    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)

    if done.returncode == NOT_CHECKED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fusion run" in done.stdout
    assert "the image is valid" in done.stdout


def test_the_dockerfile_copies_what_is_in_its_context_after_the_lock_is_installed() -> None:
    text = (ROOT / "kubeflow" / "Dockerfile").read_text()
    sent = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)

    copied = re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE)
    sources = {source for sources in copied for source in sources.split()}
    assert sources == set(sent)
    assert all((ROOT / source).exists() for source in sources)
    # A change of the project alone then rebuilds no layer of packages.
    assert text.index("--constraints requirements.lock") < text.index("COPY modules")


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root file system with two packages, and a project with a lock that pins one of them."""
    (tmp_path / "requirements.lock").write_text(LOCK)
    for name, version in (("tfx-fusion", "0.1.0"), ("NumPy", "2.2")):
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
    ("name", "version", "message"),
    [
        ("rich", "13.0", "rich 13.0, which the lock does not pin"),
        ("ruff", "1.0", "ruff, which the image does not need"),
    ],
)
def test_other_packages_fail(system: Path, name: str, version: str, message: str) -> None:
    add(system, name, version)

    with pytest.raises(ImageError, match=message):
        check_locked(system, system)


@pytest.mark.parametrize("left", ["usr/bin/g++", "var/lib/apt/lists/a_b", "tmp/x", "opt/tools"])
def test_leftovers_of_the_build_fail(system: Path, left: str) -> None:
    check_leftovers(system)
    (system / left).mkdir(parents=True)

    with pytest.raises(
        ImageError, match=re.escape(f"the build in the image, found {system}/{left}")
    ):
        check_leftovers(system)
