"""The examples' folders with their data and pretrained models."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def made(name: str) -> Path:
    """An example's folder, with its data and pretrained models made, by one process at a time."""
    with Path(tempfile.gettempdir(), f"fusion-example-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        script = EXAMPLES / name / "pretrain.py"
        subprocess.run([sys.executable, str(script)], check=True, capture_output=True)
    return EXAMPLES / name
