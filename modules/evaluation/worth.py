"""What a fusion is worth: each branch left out, each branch alone, and the margin over the best."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfx_fusion.modules.evaluation.measures import Interval
from tfx_fusion.modules.evaluation.quality import Bound, Line, Quality, shown
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.base import Part
from tfx_fusion.modules.spec.evaluation import Metric

WORTH_FILE = "worth.json"


class Compared(Part):
    """The fused model and one of its branches, by a metric of an output on the evaluation split.

    `alone` is a head of the branch's own, `without` the fused model with the branch held at what
    stands for it where it is missing, or at its mean, `gain` by how much the fused model is better
    than the branch alone.
    """

    output: str
    metric: Metric
    branch: str
    fused: float
    alone: float
    without: float
    gain: float
    alone_interval: Interval | None = None
    without_interval: Interval | None = None
    gain_interval: Interval | None = None


class Worth(Part):
    """Every branch by every metric, on so many rows."""

    rows: int
    compared: tuple[Compared, ...]

    def best(self) -> Iterator[Compared]:
        """For each metric of each output, the branch that is best alone."""
        best: dict[tuple[str, str], Compared] = {}
        for item in self.compared:
            at = item.output, item.metric
            if at not in best or item.gain < best[at].gain:
                best[at] = item
        yield from best.values()


def write_worth(worth: Worth, folder: Path) -> None:
    """Writes it into a folder."""
    write_text(folder / WORTH_FILE, worth.model_dump_json(indent=1) + "\n")


def read_worth(folder: Path) -> Worth:
    """What `write_worth` wrote."""
    return Worth.model_validate_json((folder / WORTH_FILE).read_text())


def with_worth(quality: Quality, worth: Worth, specification: Specification) -> Quality:
    """A model's quality with what its fusion is worth, and the margins that it keeps or misses."""
    demanded = specification.evaluation.worth
    margins = demanded.margin if demanded else {}
    lines: list[Line] = []
    missed: list[str] = []
    for item in worth.compared:
        for of, value, interval in (
            (f"{item.branch} alone", item.alone, item.alone_interval),
            (f"without {item.branch}", item.without, item.without_interval),
        ):
            lines.append(_line(worth, item, of, value, interval))
    for item in worth.best():
        of = f"over {item.branch} alone"
        line = _line(worth, item, of, item.gain, item.gain_interval)
        margin = margins.get(item.output, {}).get(item.metric)
        if margin is not None:
            kept = item.gain >= margin
            line = line.model_copy(update={"bounds": (Bound(says=f"≥ {margin:g}", kept=kept),)})
            if not kept:
                gain = shown(item.gain, item.gain_interval, quality.confidence, "+.4f")
                missed.append(
                    f"{item.output}.{item.metric} of the fusion is better by {gain} than that of "
                    f"'{item.branch}' alone, at least {margin:g} is needed"
                )
        lines.append(line)
    update = {"lines": (*quality.lines, *lines), "missed": (*quality.missed, *missed)}
    return quality.model_copy(update=update)


def _line(worth: Worth, item: Compared, of: str, value: float, interval: Interval | None) -> Line:
    return Line(
        output=item.output, metric=item.metric, of=of, rows=worth.rows, value=value,
        interval=interval,
    )  # fmt: skip
