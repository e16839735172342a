"""Whether the data may be trained on: anomalies, leakage and drift against their limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from tfx_fusion.modules.data.checks.anomalies import anomalies
from tfx_fusion.modules.data.checks.drift import (
    Drifts,
    comparable_statistics,
    drifts,
    read_statistics,
)
from tfx_fusion.modules.data.checks.leakage import Leakage, leakage, media_features
from tfx_fusion.modules.data.file_list import Folders
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import whole_file, write_text
from tfx_fusion.modules.spec import DataChecks
from tfx_fusion.modules.spec.views import ColumnsView

REPORT_FILE = "data_gate.json"
STATISTICS_FILE = "statistics.pb"  # a published version holds it under the same name
SHOWN = 3


@dataclass(frozen=True)
class CheckedData:
    """Where the data to check lie.

    Args:
        anomalies: the folder that ExampleValidator wrote; None where it did not run.
        statistics: the file of the training split's statistics.
        splits: the folder of tf.Examples of `train` and `eval`, or those of several spans.
        media: the columns of the data that named files.
        champion: the file of the champion's statistics; None where nothing has been published.
        version: the champion's version.
    """

    anomalies: Path | None
    statistics: Path
    splits: Mapping[str, Folders]
    media: Sequence[str]
    champion: Path | None
    version: str = ""


class DataReport(BaseModel):
    """What was found in the data.

    `leakage` is None where no feature is media; `drift_skipped` is why drift was not measured.
    """

    anomalies: list[str]
    leakage: Leakage | None = None
    drift: Drifts = Drifts()
    version: str = ""
    drift_skipped: str = ""


def check_data(
    columns: ColumnsView, checks: DataChecks, given: CheckedData, folder: Path
) -> DataReport:
    """Checks the data, and writes the report and the statistics for later runs to a folder.

    Raises RunError with everything that exceeds its limit.
    """
    statistics = read_statistics(given.statistics)
    found = anomalies(given.anomalies) if given.anomalies else []
    report = DataReport(anomalies=found, version=given.version)
    media = media_features(columns.features, given.media)
    if media:
        report.leakage = leakage(media, given.splits)
    earlier = given.champion
    if earlier is None:
        report.drift_skipped = "no published model yet"
    elif not earlier.is_file():
        report.drift_skipped = f"version {given.version} was published without statistics"
    else:
        then = read_statistics(earlier)
        report.drift = drifts(statistics, then, columns.features, columns.labels)
    problems = list(_problems(report, checks))
    if problems:
        raise RunError("the data failed their checks:\n" + "\n".join(problems))
    write_text(folder / REPORT_FILE, report.model_dump_json(indent=1) + "\n")
    with whole_file(folder / STATISTICS_FILE) as temporary:
        comparable = comparable_statistics(statistics, columns.features, columns.labels)
        temporary.write_bytes(comparable.SerializeToString(deterministic=True))
    return report


def _problems(report: DataReport, checks: DataChecks) -> Iterator[str]:
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
            "media of a training row, byte for byte, data.checks.max_leakage allows "
            f"{checks.max_leakage:.1%}. First: {shown}. Remove such rows, split by a column "
            "that puts them into one split, or raise the limit"
        )
    for item in report.drift.measured:
        own = item.name in checks.drift
        limit = checks.drift[item.name] if own else checks.max_drift
        if item.value > limit:
            key = f"drift.{item.name}" if own else "max_drift"
            yield (
                f"  drift: '{item.name}' has moved by {item.value:.3f} ({item.measure}; "
                f"{item.change}) from the data of version {report.version}, "
                f"data.checks.{key} allows {limit:g}. Look at what has changed; where it is "
                f"intended, write data.checks.drift.{item.name}: {_above(item.value)}"
            )


def _above(value: float) -> str:
    """A limit that lets a distance through, in two digits."""
    return f"{min(int(value * 100 + 1) / 100, 1.0):g}"
