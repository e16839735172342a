"""`fusion rollback`: an earlier version is served again."""

from __future__ import annotations

from pathlib import Path

import click

from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.publishing import publish_folder


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("version", required=False)
def rollback(file: Path, version: str | None) -> None:
    """Serve VERSION of the specification FILE again: the one before the served one unless given.

    FILE may be a publish folder too. Versions above it are set aside, where a model server does
    not see them; naming one of those goes forward again. A running server follows by itself.
    """
    folder = publish_folder(file)
    done = roll_back(folder, version)
    console = wide_console()
    console.print(f"[green]served[/] {done.served.path}", highlight=False, soft_wrap=True)
    for aside in done.set_aside:
        console.print(
            f"rolled back {aside.name}: `fusion rollback {file} {aside.name}` serves it again",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
