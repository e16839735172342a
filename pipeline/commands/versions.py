"""`fusion versions`: the published versions, with the one served and those rolled back."""

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.version_record import VersionRecord, read_version_record
from tfx_fusion.modules.registry.versions import all_versions, statuses
from tfx_fusion.modules.report.summaries import metrics_text
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.pipeline.consoles import print_line, wide_console


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def versions(file: Path) -> None:
    """List the published versions of the specification FILE, the newest first.

    FILE may be a publish folder too. TF Serving serves the newest version that has not been
    rolled back.
    """
    folder = publish_folder(file)
    console = wide_console()
    found = all_versions(folder)
    if not found:
        console.print(f"nothing has been published to {folder} yet", highlight=False)
        return
    table = Table("version", "status", box=None, pad_edge=False)
    for column in ("published", "metrics", "sub-models"):
        table.add_column(column, overflow="fold")
    status = statuses(folder)
    damaged = []
    for version in reversed(found):
        cells = ["", "", ""]
        try:
            record = read_version_record(version.path)
            cells = record_cells(record) if record else ["no version record", "", ""]
        except RunError as error:
            damaged.append(str(error))
            cells = ["version record damaged", "", ""]
        style = "green" if status[version.name] == "served" else None
        table.add_row(version.name, status[version.name], *cells, style=style)
    console.print(table)
    for problem in damaged:
        print_line(console, problem, "red")


def publish_folder(file: Path) -> Path:
    """The publish folder of a specification file, or the folder itself.

    A folder is given where there is no specification: on the machine that serves, say.
    """
    return file if file.is_dir() else load_specification(file).publish.path


def record_cells(record: VersionRecord) -> list[str]:
    """The time of publication, the metrics and the sub-models."""
    return [
        f"{record.published.astimezone():%Y-%m-%d %H:%M:%S}",
        metrics_text(record.metrics),
        ", ".join(f"{name} {source.digest[:12]}" for name, source in record.submodels.items()),
    ]
