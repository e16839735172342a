"""`fusion score`: all rows of a data file through a published model, on Beam."""

from pathlib import Path

import click

from tfx_fusion.modules.errors import RunError, UserError
from tfx_fusion.modules.spec import data_file_format
from tfx_fusion.pipeline.beam import IN_MEMORY
from tfx_fusion.pipeline.commands.predict import media_root_option
from tfx_fusion.pipeline.failure import cause_of
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("beam_args", nargs=-1, type=click.UNPROCESSED)
@media_root_option
@click.option("--as-is", is_flag=True, help="Write =, +, - and @ first in CSV cells without a '.")
def score(
    model: Path,
    data: Path,
    output: Path,
    beam_args: tuple[str, ...],
    media_root: Path | None,
    as_is: bool,
) -> None:
    """Write what the published model in the folder MODEL predicts of DATA to the file OUTPUT.

    MODEL is a publish folder (its newest version is taken) or one version folder. DATA is a file as
    in training, with or without labels. OUTPUT ends in .csv, .jsonl or .parquet and is written
    whole or not at all. It has one row for each row of DATA, in the same order; a row that cannot
    be scored has the reason in the column `error`. In CSV, text that a spreadsheet would take for a
    formula gets a ' before it. What follows `--` goes to Beam: `--
    --direct_running_mode=multi_processing --direct_num_workers=4` for four processes.
    """
    if data_file_format(data) is None:
        raise RunError(f"{data}: expected .csv, .jsonl, .parquet, .tfrecord or .tfrecord.gz")
    import_tensorflow_quietly()
    from tfx_fusion.modules.scoring.score import score as score_rows

    try:
        scored = score_rows(model, data, output, (*IN_MEMORY, *beam_args), media_root, as_is)
    except (RuntimeError, UserError) as error:  # Beam raises a worker's exception anew
        raise RunError(cause_of(error)) from error
    click.echo(f"{scored.rows:,} rows in {output}")
    if scored.failed:
        click.echo(f"{scored.failed:,} could not be scored, the first: {scored.first_error}")
    if scored.failed == scored.rows:
        raise RunError(f"{data}: no row could be scored")
