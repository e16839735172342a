"""Drawn fusions against plain Keras: predictions, training, embeddings, export and servers.

    python -m benchmarks.differential --graphs 2000 --seed 0 --json found.json

Every seed draws one fusion. Most compare predictions; every 6th trains, every 30th goes through
files, export and evaluation, every 60th through the model server.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import apache_beam  # noqa: F401  before TensorFlow, which else crashes while Python shuts down
import click

from benchmarks.figures import HELP, json_option, write_figures
from tests.differential.campaign import Tally, run
from tests.differential.compare import SAME, Result


@click.command(context_settings=HELP)
@click.option("--graphs", default=100, show_default=True, help="How many fusions to draw.")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option("--tries", default=60, show_default=True, help="Smaller fusions to try per fault.")
@json_option
def main(graphs: int, seed: int, tries: int, file: Path | None) -> None:
    """Tries fusions of consecutive seeds and prints every difference, as small as it gets."""
    started = time.monotonic()

    def after(seed: int, result: Result, tally: Tally) -> None:
        done = sum(tally.statuses.values())
        if result.status != SAME:
            click.echo(f"seed {seed}: {result.status} at {result.level}: {result.detail}")
            if tally.faults and tally.faults[-1].seed == seed:
                click.echo(tally.faults[-1].text())
        if done % 10 == 0 or done == graphs:
            counts = ", ".join(f"{count} {status}" for status, count in tally.statuses.items())
            click.echo(f"{done}/{graphs} in {time.monotonic() - started:.0f} s: {counts}")
        write_figures(file, tally.as_json())

    tally = run(range(seed, seed + graphs), tries, after)
    click.echo("kinds covered:")
    for kind, count in sorted(tally.kinds.items()):
        click.echo(f"  {count:5} {kind}")
    for refused, reason in tally.refusals.items():
        click.echo(f"refused, seed {refused}: {reason}")
    bad = tally.faults or tally.refusals
    click.echo(f"{len(tally.faults)} faults, {len(tally.refusals)} refusals, "
               f"{tally.seconds:.0f} s of CPU")  # fmt: skip
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
