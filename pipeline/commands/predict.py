"""`fusion predict`: rows of a data file through a published model."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import click
from rich.table import Table

from modules.errors import RunError
from modules.spec import Label, MultiLabel
from pipeline.consoles import wide_console
from pipeline.quiet import import_tensorflow_quietly


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(min=1), help="Predict the first ROWS rows only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row.")
def predict(model: Path, data: Path, rows: int | None, as_json: bool) -> None:
    """Predict the rows of DATA with the published model in the folder MODEL.

    MODEL is a publish folder (its newest version is taken) or one version folder. DATA is a file
    as in training: CSV, JSONL, Parquet or TFRecords, with the same columns; labels are not needed.
    A row that cannot be used is answered with its reason; the exit code is then 1.
    """
    from modules.examples import manifest
    from modules.spec import manifest_format

    if manifest_format(data) is None:
        raise RunError(f"{data}: expected .csv, .jsonl, .parquet, .tfrecord or .tfrecord.gz")
    shards = manifest.shards(data)
    import_tensorflow_quietly()
    from modules.serving.published import PublishedModel, find_version

    published = PublishedModel(find_version(model))
    everything = (row for shard in shards for row in manifest.read(shard))
    answers = published.predict(islice(everything, rows), data.resolve().parent)
    bad = 0
    specification = published.specification
    labels = [specification.label_of(name) for name in specification.outputs]
    table = Table("row", *specification.outputs, box=None, pad_edge=False)
    for answer in answers:
        bad += answer.error is not None
        if as_json:
            content = {"row": answer.row_id, **answer.outputs}
            click.echo(json.dumps({**content, "error": answer.error} if answer.error else content))
        elif answer.error:
            table.add_row(answer.row_id, f"[red]not usable:[/] {answer.error}")
        else:
            table.add_row(answer.row_id, *map(shown, labels, answer.outputs.values()))
    if not as_json:
        wide_console().print(table)
    if bad:
        raise RunError(f"{bad} rows could not be used, each with its reason above")


def shown(label: Label, value: dict[str, float] | float) -> str:
    """A prediction in a cell: the likeliest class, each class above 0.5, or the number."""
    if isinstance(value, dict):
        if isinstance(label, MultiLabel):
            chosen = [f"{name} ({chance:.3f})" for name, chance in value.items() if chance > 0.5]
            return ", ".join(chosen) or "no class above 0.5"
        best = max(value, key=lambda name: value[name])
        return f"{best} ({value[best]:.3f})"
    return f"{value:.6g}"
