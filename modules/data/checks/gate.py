"""Whether the data may be trained on: anomalies, leakage and drift against their limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tfx_fusion.modules.data.checks.anomalies import anomalies
from tfx_fusion.modules.data.checks.drift import Drifts, drifts, kept_statistics, read_statistics
from tfx_fusion.modules.data.checks.leakage import Leakage, leakage, media_features
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import whole_file, write_text
from tfx_fusion.modules.spec import DataChecks

REPORT_FILE = "data_gate.json"
KEPT_FILE = "statistics.pb"  # under this name a published version keeps it, too
SHOWN = 3


@dataclass(frozen=True)
class Given:
    """What is checked: folders of ExampleValidator, StatisticsGen and tf.Examples, the latter by
    split, and the file of the champion's statistics; None where nothing has been published."""

    anomalies: Path
    statistics: Path
    splits: Mapping[str, str]
    champion: Path | None
    version: str = ""


@dataclass
class Report:
    """What was found in the data; `passed_over` says why drift was not measured."""

    anomalies: list[str] = field(default_factory=list)
    leakage: Leakage | None = None
    drift: Drifts = field(default_factory=Drifts)
    version: str = ""
    passed_over: str = ""

    def __str__(self) -> str:
        found = "; ".join(self.anomalies[:SHOWN])
        told = [f"anomalies: {found}" if found else "no anomalies"]
        if self.leakage is not None:
            told.append(f"{len(self.leakage.leaked)} of {self.leakage.rows} eval rows leak")
        if self.passed_over:
            told.append(f"drift passed over: {self.passed_over}")
        elif self.drift.measured:
            most = max(self.drift.measured, key=lambda item: item.value)
            told.append(f"drift from version {self.version} at most {most.value:.3f} ({most.name})")
        if self.drift.unlike:
            told.append(f"not in the champion's data: {', '.join(self.drift.unlike)}")
        return ", ".join(told)


def check_data(source: RowSource, checks: DataChecks, given: Given, folder: Path) -> Report:
    """Checks the data, and leaves in a folder the report and the statistics for later runs.

    Raises RunError, with everything that exceeds its limit, where nothing may be trained.
    """
    statistics = read_statistics(given.statistics)
    report = Report(anomalies(given.anomalies), version=given.version)
    media = media_features(source)
    if media:
        report.leakage = leakage(media, given.splits)
    earlier = given.champion
    if earlier is None:
        report.passed_over = "no champion"
    elif not earlier.is_file():
        report.passed_over = f"version {given.version} was published without statistics"
    else:
        then = read_statistics(earlier)
        report.drift = drifts(statistics, then, source.features, source.labels)
    problems = list(_problems(report, checks))
    if problems:
        raise RunError("the data must not be trained on:\n" + "\n".join(problems))
    write_text(folder / REPORT_FILE, json.dumps(asdict(report), indent=1) + "\n")
    with whole_file(folder / KEPT_FILE) as aside:
        kept = kept_statistics(statistics, source.features, source.labels)
        aside.write_bytes(kept.SerializeToString(deterministic=True))
    return report


def _problems(report: Report, checks: DataChecks) -> Iterator[str]:
    if report.anomalies and checks.anomalies == "stop":
        more = len(report.anomalies) - SHOWN
        yield (
            f"  anomalies: {'; '.join(report.anomalies[:SHOWN])}"
            f"{f'; and {more} more' if more > 0 else ''}. Correct the data or what the "
            "specification says of them, or write data.checks.anomalies: report"
        )
    found = report.leakage
    if found is not None and found.share > checks.max_leakage:
        shown = "; ".join(
            f"{row} ('{feature}' as in {trained})" for row, feature, trained in found.leaked[:SHOWN]
        )
        yield (
            f"  leakage: {len(found.leaked)} of {found.rows} eval rows ({found.share:.1%}) hold "
            "media of a row to train on, byte for byte, data.checks.max_leakage allows "
            f"{checks.max_leakage:.1%}. First: {shown}. Take such rows out, split by a column "
            "that keeps them together, or raise the limit"
        )
    for item in report.drift.measured:
        own = item.name in checks.drift
        limit = checks.drift[item.name] if own else checks.max_drift
        if item.value > limit:
            key = f"drift.{item.name}" if own else "max_drift"
            yield (
                f"  drift: '{item.name}' has moved by {item.value:.3f} ({item.measure}; "
                f"{item.told}) from the data of version {report.version}, data.checks.{key} allows "
                f"{limit:g}. Look at what has changed; where it is meant, write "
                f"data.checks.drift.{item.name}: {_above(item.value)}"
            )


def _above(value: float) -> str:
    """A limit that lets a distance through, in two digits."""
    return f"{min(int(value * 100 + 1) / 100, 1.0):g}"
