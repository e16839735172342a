"""The examples' folders with their data and pretrained models, and what a run makes of them."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fusion_command import fusion
from made_once import once

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def made(name: str) -> Path:
    """An example's folder, with its data and pretrained models made, by one process at a time."""
    with Path(tempfile.gettempdir(), f"fusion-example-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        script = EXAMPLES / name / "pretrain.py"
        subprocess.run([sys.executable, str(script)], check=True, capture_output=True)
    return EXAMPLES / name


def ran(name: str, shared_folder: Path) -> Path:
    """A copy of an example after `fusion run`; made once, read only."""

    def make(folder: Path) -> None:
        shutil.copytree(made(name), folder, ignore=shutil.ignore_patterns("runs", "serving"))
        done = fusion("run", "fusion.yaml", folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr

    return once(shared_folder / name, make)
