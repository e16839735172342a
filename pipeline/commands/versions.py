"""`fusion versions`: what is published, which of it is served, and what has been rolled back."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.manifest import Manifest, read_manifest
from tfx_fusion.modules.registry.versions import all_versions, statuses
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.publishing import publish_folder


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
            manifest = read_manifest(version.path)
            cells = manifest_cells(manifest) if manifest else ["no manifest", "", ""]
        except RunError as error:
            damaged.append(str(error))
            cells = ["manifest damaged", "", ""]
        style = "green" if status[version.name] == "served" else None
        table.add_row(version.name, status[version.name], *cells, style=style)
    console.print(table)
    for problem in damaged:
        console.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)


def manifest_cells(manifest: Manifest) -> list[str]:
    """When it was published, what was measured of it, which sub-models it holds."""
    return [
        f"{manifest.published.astimezone():%Y-%m-%d %H:%M:%S}",
        measured(manifest.metrics),
        ", ".join(f"{name} {source.digest[:12]}" for name, source in manifest.submodels.items()),
    ]


def measured(metrics: dict[str, dict[str, float]]) -> str:
    """Metrics in one line."""
    return ", ".join(
        f"{output}.{name} {value:.4f}"
        for output, values in metrics.items()
        for name, value in values.items()
        if name != "example_count"
    )
