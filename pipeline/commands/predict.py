"""`fusion predict`: rows of a data file through a published model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Label, MultiLabel, load_specification
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.published import file_rows
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

if TYPE_CHECKING:  # it imports TensorFlow
    from tfx_fusion.modules.serving.predictor import Predictor

media_root_option = click.option(
    "--media-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that holds all files that rows name; unless given, the data file's.",
)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data")
@click.option("--server", help="Ask the server at grpc://HOST:PORT or http://HOST:PORT.")
@click.option("--rows", type=click.IntRange(min=1), help="Predict the first ROWS rows only.")
@media_root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row.")
def predict(
    model: Path,
    data: str,
    server: str | None,
    rows: int | None,
    media_root: Path | None,
    as_json: bool,
) -> None:
    """Predict the rows of DATA with the published model in the folder MODEL.

    MODEL is a publish folder (its newest version is taken) or one version folder; with --server it
    may be the specification's file, since no model is loaded. DATA is a file as in training: CSV,
    JSONL, Parquet or TFRecords, with the same columns; labels are not needed. Or it is one row, as
    a JSON object, with media paths relative to the working folder. A row that cannot be used
    gets its reason; the exit code is then 1.
    """
    everything, folder = read_rows(data)
    if is_row(data):
        media_root = Path("/")  # whoever writes the row is the one who reads the files
    import_tensorflow_quietly()
    predictor = model_to_ask(model, server)
    answers = predictor.predict(islice(everything, rows), folder, media_root)
    bad = 0
    specification = predictor.specification
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
            table.add_row(answer.row_id, *map(formatted, labels, answer.outputs.values()))
    if not as_json:
        wide_console().print(table)
    if bad:
        raise RunError(f"{bad} rows could not be used, each with its reason above")


def is_row(data: str) -> bool:
    """Whether the argument is a row as JSON rather than a file."""
    return data.lstrip().startswith("{")


def read_rows(data: str) -> tuple[Iterator[tuple[str, Any]], Path]:
    """The rows of a data file, or the one given as JSON, and the folder of relative media paths."""
    if is_row(data):
        try:
            return iter([("row 1", json.loads(data))]), Path.cwd()
        except ValueError as error:
            raise RunError(f"the row: expected a JSON object, found broken JSON: {error}") from None
    return file_rows(Path(data)), Path(data).resolve().parent


def model_to_ask(model: Path, server: str | None) -> Predictor:
    """The published model in this process, or the one of its name behind a server."""
    from tfx_fusion.modules.registry.versions import find_version
    from tfx_fusion.modules.serving.published import PublishedModel, read_specification

    if server is None:
        return PublishedModel(find_version(model))
    from tfx_fusion.modules.serving.remote import remote_model

    file = model.suffix in (".yaml", ".yml")
    specification = load_specification(model) if file else read_specification(find_version(model))
    return remote_model(specification, server)


def formatted(label: Label, value: dict[str, float] | float) -> str:
    """A prediction in a cell: the likeliest class, each class above 0.5, or the number."""
    if isinstance(value, dict):
        if isinstance(label, MultiLabel):
            chosen = [f"{name} ({chance:.3f})" for name, chance in value.items() if chance > 0.5]
            return ", ".join(chosen) or "no class above 0.5"
        best = max(value, key=lambda name: value[name])
        return f"{best} ({value[best]:.3f})"
    return f"{value:.6g}"
