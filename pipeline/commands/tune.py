"""`fusion tune`: the best values for a head, searched on the embeddings."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.pipeline.consoles import wide_console


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def tune(file: Path) -> None:
    """Search what `tuning` in the specification FILE names.

    Rows and embeddings are made once, or reused; each trial trains one head. The best values are
    written back as FILE with `.tuned` in its name, to be run by `fusion run`. A search that is
    stopped goes on where it stood.
    """
    from tfx_fusion.pipeline.tune import tune as tune_specification

    console = wide_console()
    tuned = tune_specification(file, console)
    table = Table("trial", *tuned.trials[0].values, tuned.objective, box=None, pad_edge=False)
    for number, trial in enumerate(tuned.trials, 1):
        score = "failed" if trial.score is None else f"{trial.score:.4f}"
        values = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in trial.values.values()]
        table.add_row(str(number), *values, score, style="green" if trial is tuned.best else None)
    console.print(table)
    for name, path in (
        ("trials", tuned.table),
        ("picture", tuned.picture),
        ("best", tuned.specification),
    ):
        console.print(f"{name} {path}", highlight=False, soft_wrap=True)
