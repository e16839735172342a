"""`fusion validate`: the whole specification checked without TFX and without the data."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import Problem, SpecificationError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.pipeline.beam import choose, in_words, size_to_choose_by
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.light_keras import import_light_keras
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
    import_light_keras()
    from tfx_fusion.modules.embedding.plan import plan_stages
    from tfx_fusion.modules.graph.describe import describe
    from tfx_fusion.modules.validation.validate import graph_problems

    specification = examined.specification
    if specification is None:
        raise examined.error()
    interfaces = {name: found.interface for name, found in examined.inspections.items()}
    invalid = examined.read.invalid
    fused, problems = graph_problems(specification, interfaces, invalid)
    examined.problems += problems
    if "data" not in invalid:
        examined.problems += _column_problems(specification)
    if fused is None or examined.problems:
        raise examined.error()
    rows = describe(specification, interfaces, fused)
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
        console.print(f"stage {stage.name} learns from {plan.why}", highlight=False, markup=False)
    size = None
    if specification.data.path.exists():
        size = size_to_choose_by(specification)
    else:
        console.print(f"data not checked: {specification.data.path} does not exist yet")
    for line in in_words(choose(specification, size)):
        console.print(line, highlight=False, markup=False)
    console.print(f"[green]{file} is valid[/]", highlight=False)


def _column_problems(specification: Specification) -> list[Problem]:
    """What a data file that exists lacks."""
    if specification.data.path.exists():
        try:
            RowSource.of(specification).check_columns()
        except SpecificationError as error:
            return error.found
    return []
