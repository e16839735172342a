"""`fusion tune`: the best values for a head, searched on the embeddings."""

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.pipeline.consoles import wide_console


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def tune(file: Path) -> None:
    """Search for the best values of the keys that `tuning` in the specification FILE lists.

    Rows and embeddings are computed once, or reused; each trial trains one head. A copy of FILE
    with `.tuned` in its name gets the best values, ready for `fusion run`. A search that was
    stopped continues with the trial it was in.
    """
    from tfx_fusion.pipeline.tune import tune as tune_specification
    from tfx_fusion.pipeline.tune import value_text

    console = wide_console()
    tuned = tune_specification(file, console)
    table = Table("trial", *tuned.trials[0].values, tuned.objective, box=None, pad_edge=False)
    for number, trial in enumerate(tuned.trials, 1):
        score = "failed" if trial.score is None else f"{trial.score:.4f}"
        values = map(value_text, trial.values.values())
        table.add_row(str(number), *values, score, style="green" if trial is tuned.best else None)
    console.print(table)
    for name, path in (
        ("trials", tuned.table),
        ("picture", tuned.picture),
        ("best", tuned.specification),
    ):
        console.print(f"{name} {path}", highlight=False, soft_wrap=True)
