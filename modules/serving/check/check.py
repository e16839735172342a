"""The whole check: a candidate with warm-up requests, in a model server of its own."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from tensorflow_serving.apis import predict_pb2

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.serving.check.answers import not_refused, wrong_answers
from tfx_fusion.modules.serving.check.expected import Expected, expected
from tfx_fusion.modules.serving.check.process import model_server
from tfx_fusion.modules.serving.check.speed import Speed, measure
from tfx_fusion.modules.serving.remote import predict_request
from tfx_fusion.modules.serving.server.servable import write_warmup
from tfx_fusion.modules.spec import Serving
from tfx_fusion.modules.training.exported import DEFAULT_SIGNATURE

REPORT_FILE = "serving_check.json"
LOG_FILE = "server.log"


class ServingReport(BaseModel):
    """The result of a check; without problems the candidate may be published."""

    rows: int
    server: str = ""
    problems: list[str] = []
    speed: Speed | None = None


def check_serving(
    model: Path, folders: Sequence[str], limits: Serving, folder: Path, candidate: Path
) -> ServingReport:
    """Checks a model in a server, and writes a copy with warm-up requests where it passed.

    Args:
        model: the exported model: any SavedModel with a `serving_default` of named outputs.
        folders: the folder of the tf.Examples to predict, or those of several spans.
        limits: how many rows are sent, and how fast they must be answered.
        folder: for the report and the server's log.
        candidate: where the checked copy is written.
    """
    wanted = expected(model, folders, limits.rows)
    report = ServingReport(rows=len(wanted.row_ids))
    shutil.copytree(model, candidate)
    write_warmup(candidate, warmup_requests(wanted))
    with tempfile.TemporaryDirectory() as base:
        # A server wants a folder of versions.
        Path(base, "1").symlink_to(candidate.resolve(), target_is_directory=True)
        try:
            with model_server(Path(base), wanted.name, folder / LOG_FILE) as running:
                report.server = running.kind
                report.problems += wrong_answers(running, wanted)
                report.problems += not_refused(running, wanted)
                if not report.problems:
                    report.speed = measure(running, wanted, limits)
                    report.problems += report.speed.misses(limits)
        except RunError as error:
            report.problems.append(str(error))
    if report.problems:
        shutil.rmtree(candidate)
    write_text(folder / REPORT_FILE, report.model_dump_json(indent=1) + "\n")
    return report


def warmup_requests(wanted: Expected) -> list[predict_pb2.PredictRequest]:
    """A single row, and all of them at once."""
    found = []
    for count in sorted({1, len(wanted.row_ids)}):
        arrays = {name: values[:count] for name, values in wanted.inputs.items()}
        found.append(predict_request(wanted.name, arrays, DEFAULT_SIGNATURE))
    return found
