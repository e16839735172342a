"""`fusion report`: the page of a run, written again."""

import webbrowser
from pathlib import Path

import click

from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly
from tfx_fusion.pipeline.report import find_run, print_report


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("run", required=False)
@click.option("--open", "in_browser", is_flag=True, help="Open the page in the browser.")
def report(file: Path, run: str | None, in_browser: bool) -> None:
    """Write the page of a run of the specification FILE again: of RUN, or of the newest.

    RUN is the name of its folder in `runs`. The page is `report.html` there; it shows the run as it
    was, whatever FILE says by now.
    """
    folder = find_run(file, run)
    import_tensorflow_quietly()
    page = print_report(folder, wide_console())
    if in_browser:
        webbrowser.open(page.as_uri())
