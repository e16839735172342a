"""The image of `kubeflow/Dockerfile`: its own steps in a clean Debian, and a pipeline run in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_image.py"
NOT_HERE = 3
BYTES = 12e9


def test_the_steps_of_the_dockerfile_make_an_image_that_runs_a_pipeline() -> None:
    if shutil.disk_usage(tempfile.gettempdir()).free < BYTES:
        pytest.skip("the image needs 12 GB for a while")

    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)

    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fusion run" in done.stdout
    assert "image: as it should be" in done.stdout
