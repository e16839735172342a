"""Runs that are killed, interrupted, starved of disk and damaged, and what is lost: nothing.

    python -m benchmarks.chaos --chains 8 --seed 0 --json found.json

Every chain disturbs one folder in each of its steps, a run each, and then lets it end: its model
must predict what that of an undisturbed run predicts. Full disks need the right to mount.
"""

import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click

from benchmarks.figures import HELP, json_option, write_figures
from tests.chaos import disks
from tests.chaos.campaign import Campaign, Outcome
from tests.chaos.forks import import_all
from tests.chaos.races import KILLED, make_models, race
from tests.chaos.world import STEPS

DISK = "size=512m"


@click.command(context_settings=HELP)
@click.option("--chains", default=8, show_default=True, help="How many folders to disturb.")
@click.option("--seed", default=0, show_default=True, help="The first chain's.")
@click.option("--races", default=30, show_default=True, help="How many races of the registry.")
@click.option("--times", default=2, show_default=True, help="How often to disturb each step.")
@click.option("--steps", default=",".join(STEPS), help="The steps to disturb.")
@click.option("--until", default="", help="The step at which undisturbed runs are ended, in haste.")
@json_option
def main(
    chains: int, seed: int, races: int, times: int, steps: str, until: str, file: Path | None
) -> None:
    """Disturbs runs, prints every loss as it is found, and in the end what was tried."""
    started = time.monotonic()
    raced = _races(seed, races)
    import_all()
    with tempfile.TemporaryDirectory() as name:
        campaign = Campaign(Path(name), until, log=click.echo, outcomes=raced)
        disk = disks.mounted(campaign.folder, DISK) if disks.can_mount() else nullcontext()
        with disk:
            campaign.prepare()
            for number in range(seed, seed + chains):
                campaign.chain(number, tuple(steps.split(",")), times)
                click.echo(f"{len(campaign.outcomes)} in {time.monotonic() - started:.0f} s")
                write_figures(file, campaign.as_json())
    write_figures(file, campaign.as_json())
    click.echo(campaign.table())
    sys.exit(any(outcome.lost for outcome in campaign.outcomes))


def _races(seed: int, count: int) -> list[Outcome]:
    """Races of publishes, rollbacks and readers; each kills some of them."""
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = make_models(folder)
        for number in range(seed, seed + count):
            lost = list(race(folder / "serving", models, number))
            outcomes += [Outcome(number, "kill in a race of the registry", "", -9, lost)] * KILLED
    click.echo(f"{count} races, {sum(bool(one.lost) for one in outcomes)} kills lost something")
    return outcomes


if __name__ == "__main__":
    main()
