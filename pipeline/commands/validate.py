"""`fusion validate`: the whole specification checked without TFX and without the data."""

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.pipeline.check import check
from tfx_fusion.pipeline.consoles import print_line, wide_console


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def validate(file: Path) -> None:
    """Check the specification FILE and print its resolved graph, or everything that is invalid.

    Sub-models not seen before are loaded once to read their interfaces; after that a check takes
    about two seconds. Where the data file exists, its columns are checked too.
    """
    console = wide_console()
    checked = check(file, lambda text: console.print(text, highlight=False))
    table = Table(box=None, pad_edge=False)
    for column in ("node", "kind", "inputs", "output"):
        table.add_column(column, overflow="fold")
    for column in ("trainable", "frozen"):
        table.add_column(column, justify="right")
    for row in checked.nodes:
        table.add_row(
            row.name, row.kind, row.inputs, row.output,
            f"{row.trainable:,}" if row.trainable else "",
            f"{row.frozen:,}" if row.frozen else "",
        )  # fmt: skip
    table.add_section()
    table.add_row("all", "", "", "", f"{checked.trainable:,}", f"{checked.frozen:,}")
    console.print(table)
    for stage, plan in checked.stages.items():
        print_line(console, f"stage {stage} learns from {plan}")
    for note in checked.notes:
        print_line(console, note)
    console.print(f"[green]{file} is valid[/]", highlight=False)
