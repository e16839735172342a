"""What the README shows of clients, run as it stands there against a running server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.component
README = Path(__file__).parents[1] / "README.md"
SERVING = README.read_text().partition("\n## Serving\n")[2].partition("\n## ")[0]
PICTURE = "examples/image_text/data/images/00002.png"


def adapted(text: str, addresses: Any, picture: Path) -> str:
    """A snippet with the small world's server, model and picture in place of the README's."""
    for old, new in (
        ("localhost:8500", addresses.grpc.removeprefix("grpc://")),
        ("localhost:8501", addresses.rest),
        (PICTURE, str(picture)),
        ("image-text", "colours"),
        ("digit_", "colour_"),
    ):
        text = text.replace(old, new)
    return text


def test_the_curl_command_gets_a_prediction(served_colours: Any, shared_world: Path) -> None:
    [block] = re.findall(r"```sh\n(.*?curl.*?)```", SERVING, re.DOTALL)
    picture = shared_world / "data" / "images" / "0.png"
    command = adapted(block, served_colours, picture)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [prediction] = json.loads(done.stdout)["predictions"]
    assert prediction["colour_classes"] == ["red", "green", "blue"]
    assert sum(prediction["colour_probabilities"]) == pytest.approx(1, abs=1e-5)


def test_the_python_client_prints_the_probabilities(
    served_colours: Any, shared_world: Path
) -> None:
    [block] = re.findall(r"```python\n(.*?)```", SERVING, re.DOTALL)
    assert len(block.splitlines()) <= 12
    program = adapted(block, served_colours, shared_world / "data" / "images" / "0.png")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    numbers = [float(text) for text in re.findall(r"\d\.\d+(?:e-\d+)?", done.stdout)]
    assert len(numbers) == 3
    assert sum(numbers) == pytest.approx(1, abs=1e-4)
