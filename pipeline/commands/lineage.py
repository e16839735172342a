"""`fusion lineage`: what a version was made from, and which versions have a sub-model."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from tfx_fusion.modules.registry.versions import statuses
from tfx_fusion.modules.report.summaries import metrics_text
from tfx_fusion.pipeline.consoles import print_line, wide_console
from tfx_fusion.pipeline.published import published_at

if TYPE_CHECKING:  # it imports ML Metadata
    from tfx_fusion.modules.registry.lineage import Lineage

REMOVED = "no longer in the folder"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("version", required=False)
@click.option("--submodel", metavar="DIGEST", help="List the versions with this sub-model.")
def lineage(file: Path, version: str | None, submodel: str | None) -> None:
    """Print what VERSION of the specification FILE was made from, or the versions with a sub-model.

    A DIGEST may be shortened to its beginning. FILE may be a publish folder too. It is read from
    ML Metadata (in `runs` beside FILE), or where that has no entry, from the version records.
    """
    if (version is None) == (submodel is None):
        raise click.UsageError("give either a VERSION or --submodel DIGEST")
    published = published_at(file)
    found = published.lineages()
    console = wide_console()
    status = statuses(published.folder)
    if version is not None:
        _print_lineage(found.of_version(version), status, console)
    else:
        table = Table("version", "status", "published", "sub-model", box=None, pad_edge=False)
        for column in ("digest", "origin", "recorded in"):
            table.add_column(column, overflow="fold")
        for holder, name in found.with_submodel(submodel or ""):
            source = holder.submodels[name]
            table.add_row(
                holder.version,
                status.get(holder.version, REMOVED),
                f"{holder.published.astimezone():%Y-%m-%d %H:%M:%S}",
                name, source.digest[:12], source.origin, holder.recorded_in,
            )  # fmt: skip
        console.print(table)
        for unknown, reason in found.unknown.items():
            print_line(console, f"version {unknown}: {reason}")
    if found.missing:
        print_line(console, f"{found.missing}; read from the version records only")


def _print_lineage(found: Lineage, status: dict[str, str], console: Console) -> None:
    rows = ", ".join(f"{count:,} {name}" for name, count in found.rows.items())
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("version", f"{found.version}, {status.get(found.version, REMOVED)}")
    table.add_row("published", f"{found.published.astimezone():%Y-%m-%d %H:%M:%S}")
    table.add_row("run", found.run)
    table.add_row("data", found.data.path)
    table.add_row("", f"fingerprint {found.data.fingerprint}")
    if rows:
        table.add_row("", rows)
    for name, source in found.submodels.items():
        table.add_row(f"sub-model {name}", source.origin)
        table.add_row("", f"digest {source.digest}")
    table.add_row("metrics", metrics_text(found.metrics))
    table.add_row("recorded in", found.recorded_in)
    console.print(table, highlight=False)
    stream = StringIO()
    YAML(typ="safe").dump({"specification": found.specification}, stream)
    print_line(console, stream.getvalue().rstrip())
