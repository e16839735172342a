"""`fusion rollback`: an earlier version is served again."""

from pathlib import Path

import click

from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.pipeline.consoles import print_line, wide_console


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("version", required=False)
def rollback(file: Path, version: str | None) -> None:
    """Serve VERSION of the specification FILE again: the one before the served one unless given.

    FILE may be a publish folder too. Versions above it are renamed, so that a
    model server does not see them; name one of those to go forward again. A running server
    changes over by itself.
    """
    folder = file if file.is_dir() else load_specification(file).publish.path
    done = roll_back(folder, version)
    console = wide_console()
    console.print(f"[green]served[/] {done.served.path}", highlight=False, soft_wrap=True)
    for other in done.rolled_back:
        again = f"`fusion rollback {file} {other.name}` serves it again"
        print_line(console, f"rolled back {other.name}: {again}")
