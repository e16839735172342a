"""The commands for Kubeflow, whose files are in the folder `kubeflow/`.

That folder is no package, since it would shadow the one of that name: its files run by path.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

FOLDER = Path(__file__).parents[2] / "kubeflow"
FILES = ("compile", "submit", "manifests", "entrypoint")


def kubeflow_commands() -> Iterator[click.Command]:
    """The command of each file; none where the project was installed without its folder."""
    if not FOLDER.is_dir():
        return
    sys.path.insert(0, str(FOLDER))
    for name in FILES:
        yield importlib.import_module(name).command
