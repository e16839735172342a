"""`fusion versions`: the published versions, with the one served and those rolled back."""

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.modules.registry.version_record import VersionRecord
from tfx_fusion.modules.report.summaries import metrics_text
from tfx_fusion.pipeline.consoles import print_line, wide_console
from tfx_fusion.pipeline.published import published_at


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def versions(file: Path) -> None:
    """List the published versions of the specification FILE, the newest first.

    FILE may be a publish folder too. TF Serving serves the newest version that has not been
    rolled back.
    """
    published = published_at(file)
    console = wide_console()
    versions = published.versions
    if not versions:
        console.print(f"nothing has been published to {published.folder} yet", highlight=False)
        return
    table = Table("version", "status", box=None, pad_edge=False)
    for column in ("published", "metrics", "sub-models"):
        table.add_column(column, overflow="fold")
    for version in versions:
        if version.record:
            cells = record_cells(version.record)
        else:
            cells = ["version record damaged" if version.problem else "no version record", "", ""]
        style = "green" if version.status == "served" else None
        table.add_row(version.name, version.status, *cells, style=style)
    console.print(table)
    for version in versions:
        if version.problem:
            print_line(console, version.problem, "red")


def record_cells(record: VersionRecord) -> list[str]:
    """The time of publication, the metrics and the sub-models."""
    return [
        f"{record.published.astimezone():%Y-%m-%d %H:%M:%S}",
        metrics_text(record.metrics),
        ", ".join(f"{name} {source.digest[:12]}" for name, source in record.submodels.items()),
    ]
