"""`fusion` as a user runs it: each command in a process of its own, its output and exit code.

The processes are forked from one that has imported TFX, or each would take fifteen seconds for it.
So this is for commands that import TensorFlow; Keras on NumPy (`fusion validate`) needs a process
that has not imported Keras.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PRELOADED = (
    "apache_beam",  # before TensorFlow, as in conftest.py
    "tensorflow",
    "tfx_fusion.pipeline.local_runner",
    "tfx_fusion.pipeline.pipeline",
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(PRELOADED))


def fusion(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, with the environment as it is now; it may print no traceback."""
    words = ["fusion", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as place:
        outputs = Path(place, "out"), Path(place, "err")
        given = (words, folder, dict(os.environ), outputs)
        process = FORKS.Process(target=_run, args=given)
        process.start()
        process.join()
        out, err = (output.read_text() for output in outputs)
    assert process.exitcode is not None
    assert "Traceback" not in out + err, out + err
    return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _run(
    words: list[str], folder: Path, environment: dict[str, str], outputs: tuple[Path, Path]
) -> None:
    """In the new process: the command, with its standard streams in files."""
    for descriptor, output in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(output, os.O_CREAT | os.O_WRONLY), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    from tfx_fusion.cli import main

    main()
