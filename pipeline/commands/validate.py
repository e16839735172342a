"""`fusion validate`: the whole specification checked without TFX and without the data."""

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.pipeline.beam import choose, in_words, size_to_choose_by
from tfx_fusion.pipeline.check import check_graph
from tfx_fusion.pipeline.consoles import print_line, wide_console
from tfx_fusion.pipeline.prepare import examine


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def validate(file: Path) -> None:
    """Check the specification FILE and print its resolved graph, or everything that is invalid.

    Sub-models not seen before are loaded once to read their interfaces; after that a check takes
    about two seconds. Where the data file exists, its columns are checked too.
    """
    console = wide_console()
    examined = examine(file, lambda text: console.print(text, highlight=False))
    fused = check_graph(examined)
    from tfx_fusion.modules.embedding.plan import plan_stages
    from tfx_fusion.modules.graph.describe import describe

    prepared = examined.prepared()
    specification = prepared.specification
    rows = describe(specification, prepared.interfaces, fused)
    table = Table(box=None, pad_edge=False)
    for column in ("node", "kind", "inputs", "output"):
        table.add_column(column, overflow="fold")
    for column in ("trainable", "frozen"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.name, row.kind, row.inputs, row.output,
            f"{row.trainable:,}" if row.trainable else "",
            f"{row.frozen:,}" if row.frozen else "",
        )  # fmt: skip
    trainable, frozen = sum(r.trainable for r in rows), sum(r.frozen for r in rows)
    table.add_section()
    table.add_row("all", "", "", "", f"{trainable:,}", f"{frozen:,}")
    console.print(table)
    plans = plan_stages(specification, fused)
    for stage, plan in zip(specification.training.stages, plans, strict=True):
        console.print(f"stage {stage.name} learns from {plan}", highlight=False, markup=False)
    size = None
    if specification.data.path.exists():
        size = size_to_choose_by(specification)
    else:
        console.print(f"data not checked: {specification.data.path} does not exist yet")
    for line in in_words(choose(specification, size)):
        console.print(line, highlight=False, markup=False)
    print_line(console, f"{file} is valid", "green")
