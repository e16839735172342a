"""`fusion run`: the pipeline, on this machine."""

from pathlib import Path

import click

from tfx_fusion.modules.report.record import RUN_FILE
from tfx_fusion.pipeline.consoles import print_line, wide_console


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def run(file: Path) -> None:
    """Run the specification FILE: read rows, check them, train, evaluate, publish.

    A step whose inputs did not change is reused from an earlier run. Everything a run makes is in
    the folder `runs` beside FILE; its run.json holds the steps, the metrics and the path of the
    published version (`fusion schema run` prints its schema).
    """
    from tfx_fusion.pipeline.run import run as run_specification

    console = wide_console()
    done = run_specification(file, console)
    if done.rejected.rows:
        files = ", ".join(done.rejected.files)
        print_line(console, f"{done.rejected.rows} rows were rejected, see {files}")
    console.print(f"[green]published[/] {done.published}", highlight=False, soft_wrap=True)
    print_line(console, f"record {done.folder / RUN_FILE}")
    print_line(console, f"training {done.record.training_record}")
