"""`fusion run`: the pipeline, on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from tfx_fusion.pipeline.consoles import wide_console


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def run(file: Path) -> None:
    """Run the specification FILE: rows in, checks, training, evaluation, publishing.

    A stage whose inputs did not change is reused from an earlier run. Everything a run makes is
    in the folder `runs` beside FILE; its run.json tells the stages, metrics and published path.
    """
    from tfx_fusion.pipeline.run import run as run_specification

    console = wide_console()
    record = run_specification(file, console)
    if record.rejected:
        console.print(
            f"{record.rejected} rows were rejected, see {record.rejected_file}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print(f"[green]published[/] {record.published}", highlight=False, soft_wrap=True)
    console.print(f"record {record.file}", highlight=False, soft_wrap=True)
    console.print(f"training {record.training_record}", highlight=False, soft_wrap=True)
