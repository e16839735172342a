"""DataGate with real artifacts: StatisticsGen's, ExampleValidator's, tf.Examples, a champion's."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.version_record import DataSource
from tfx_fusion.modules.spec import (
    CategoryLabel,
    DataChecks,
    SequenceFeature,
    Specification,
    load_specification,
)

pytestmark = pytest.mark.component

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
Rows = dict[str, list[tf.train.Example]]


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    return load_specification(shared_world / "fusion.yaml")


def read(folders: dict[str, Path]) -> Rows:
    return {
        split: [
            tf.train.Example.FromString(record.numpy())
            for file in folder.iterdir()
            for record in tf.data.TFRecordDataset(str(file))
        ]
        for split, folder in folders.items()
    }


def write(rows: Rows, folder: Path) -> Any:
    """Examples as ManifestExampleGen leaves them."""
    from tfx.types import artifact_utils, standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(list(rows))
    for split, items in rows.items():
        place = Path(artifact_utils.get_split_uri([examples], split))
        place.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(place / "data_tfrecord-00000-of-00001")) as writer:
            for item in items:
                writer.write(item.SerializeToString())
    return examples


def statistics_of(examples: Any, folder: Path) -> Any:
    """StatisticsGen's of all splits."""
    from tfx.components.statistics_gen.executor import Executor
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder)
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=[RUNNER], tmp_dir=f"{folder}-temporary", unique_id="1"
    )
    Executor(context).Do({"examples": [examples]}, {"statistics": [statistics]}, {})
    return statistics


@pytest.fixture
def rows(shared_training_inputs: Any) -> Rows:
    """The rows of each split, to change at will."""
    return read(shared_training_inputs.splits)


@pytest.fixture(scope="module")
def shared_statistics(shared_training_inputs: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of these rows as they are; made once, read only."""
    folder = tmp_path_factory.mktemp("statistics")
    examples = write(read(shared_training_inputs.splits), folder / "examples")
    return statistics_of(examples, folder / "statistics")


@pytest.fixture
def gate(
    specification: Specification, shared_statistics: Any, tmp_path: Path
) -> Callable[..., Any]:
    """Runs ExampleValidator and DataGate on rows; returns the artifact that the gate filled.

    Args:
        rows: by split.
        checks: the specification's limits.
        champion: the copy of a version, or none is published.
        classes: those of the label, in the schema that the data are validated against.
        statistics: those of the rows, where they are other ones than the shared.
        compiled: the specification of the gate, where it is another one than the rows are of.
    """

    def run(
        rows: Rows,
        checks: DataChecks | None = None,
        champion: Path | None = None,
        classes: tuple[str, ...] = ("red", "green", "blue"),
        statistics: Any = None,
        compiled: Specification = specification,
    ) -> Any:
        from tfx.components.example_validator.executor import Executor as ExampleValidator
        from tfx.types import channel_utils, standard_artifacts
        from tfx.utils import io_utils

        from tfx_fusion.components.artifacts import DataGateReport
        from tfx_fusion.components.channels import describe_data
        from tfx_fusion.components.data_gate import executor
        from tfx_fusion.components.data_gate.component import DataGate

        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        inputs = {
            executor.EXAMPLES_KEY: write(rows, folder / "examples"),
            executor.STATISTICS_KEY: statistics or shared_statistics,
            executor.ANOMALIES_KEY: standard_artifacts.ExampleAnomalies(),
            executor.CHAMPION_KEY: standard_artifacts.Model(),
        }
        data_read = DataSource(path=str(specification.data.path), fingerprint="f1")
        describe_data(inputs[executor.EXAMPLES_KEY], data_read)
        schema, report = standard_artifacts.Schema(), DataGateReport()
        made = {**inputs, "schema": schema, executor.GATE_KEY: report}
        for key, artifact in made.items():
            artifact.uri = artifact.uri or str(folder / key)
        given = {key: [artifact] for key, artifact in made.items()}
        label = CategoryLabel(type="category", column="colour", classes=classes)
        io_utils.write_pbtxt_file(
            f"{schema.uri}/schema.pbtxt", implied_schema(specification.features, {"colour": label})
        )
        ExampleValidator().Do(given, given, {})
        made[executor.CHAMPION_KEY].set_int_custom_property("model_exists", int(bool(champion)))
        if champion is not None:
            made[executor.CHAMPION_KEY].set_string_custom_property("version", champion.name)
            shutil.copytree(champion, Path(made[executor.CHAMPION_KEY].uri, "Format-Serving"))

        node = DataGate(
            compiled.features,
            compiled.labels,
            checks=checks,
            **{key: channel_utils.as_channel([artifact]) for key, artifact in inputs.items()},
        )
        outputs = {executor.GATE_KEY: given.pop(executor.GATE_KEY)}
        executor.Executor().Do(given, outputs, node.exec_properties)
        return report

    return run


def text(gate: Any) -> str:
    """The summary that the gate wrote, in one line."""
    from tfx_fusion.components.base import summary_of

    summary = summary_of([gate])
    assert summary is not None
    return summary.text


def published(gate: Any, folder: Path) -> Path:
    """A version folder, as VersionPusher leaves the gate's statistics in it."""
    (folder / "assets.extra").mkdir(parents=True)
    shutil.copy(Path(gate.uri, "statistics.pb"), folder / "assets.extra")
    return folder


def test_the_file_that_was_read_is_looked_at_whatever_the_pipeline_was_compiled_for(
    gate: Callable[..., Any], rows: Rows, specification: Specification
) -> None:
    from tfx_fusion.components.channels import described_data

    steps = SequenceFeature(type="sequence", column="transcript", shape=(4, 2))
    elsewhere = specification.data.model_copy(update={"path": Path("/compiled/for/rows.csv")})
    compiled = specification.model_copy(
        update={"data": elsewhere, "features": {**specification.features, "steps": steps}}
    )

    report = gate(rows, DataChecks(max_leakage=1.0), compiled=compiled)

    assert described_data(report).path == str(specification.data.path)
    assert described_data(report).fingerprint == "f1"


def test_good_data_pass_and_a_champions_data_too(
    gate: Callable[..., Any], rows: Rows, tmp_path: Path
) -> None:
    first = gate(rows)

    assert (
        text(first) == "no anomalies, 0 of 30 eval rows leak, drift skipped: no published model yet"
    )
    report = json.loads(Path(first.uri, "data_gate.json").read_text())
    assert report["leakage"] == {"rows": 30, "leaked": []}

    champion = published(first, tmp_path / "17")
    assert text(gate(rows, champion=champion)) == (
        "no anomalies, 0 of 30 eval rows leak, drift from version 17 at most 0.000 (colour)"
    )


def test_an_anomaly_stops_unless_it_is_only_to_be_reported(
    gate: Callable[..., Any], rows: Rows
) -> None:
    with pytest.raises(RunError) as caught:
        gate(rows, classes=("red", "green"))

    message = str(caught.value)
    assert "anomalies: eval: colour: Examples contain values missing from the schema: blue" in (
        message
    )
    assert "; train: colour: Examples contain values missing from the schema: blue" in message
    assert message.endswith("or write data.checks.anomalies: report")

    patient = gate(rows, DataChecks(anomalies="report"), classes=("red", "green"))
    assert text(patient).startswith("anomalies: eval: colour: Examples contain values missing")


def test_rows_whose_picture_is_trained_on_stop_unless_they_are_few_enough(
    gate: Callable[..., Any], rows: Rows
) -> None:
    for row, like in ((3, 0), (5, 7), (6, 1), (9, 1)):
        picture = rows["train"][like].features.feature["image"]
        rows["eval"][row].features.feature["image"].CopyFrom(picture)

    with pytest.raises(RunError) as caught:
        gate(rows)

    assert str(caught.value) == (
        "the data failed their checks:\n"
        "  leakage: 4 of 30 eval rows (13.3%) hold media of a training row, byte for byte, "
        "data.checks.max_leakage allows 0.0%. First: row 63 ('image' as in row 0); "
        "row 65 ('image' as in row 7); row 66 ('image' as in row 1). Remove such rows, split by "
        "a column that puts them into one split, or raise the limit"
    )
    with pytest.raises(RunError, match=r"allows 13\.0%"):
        gate(rows, DataChecks(max_leakage=0.13))
    assert text(gate(rows, DataChecks(max_leakage=0.134))).startswith(
        "no anomalies, 4 of 30 eval rows leak"
    )


def test_data_that_have_moved_stop_unless_the_limit_allows_it(
    gate: Callable[..., Any], rows: Rows, tmp_path: Path
) -> None:
    champion = published(gate(rows), tmp_path / "17")
    before = sum(
        example.features.feature["colour"].bytes_list.value[0] == b"red"
        for example in rows["train"]
    )
    for example in rows["train"]:
        example.features.feature["colour"].bytes_list.value[:] = [b"red"]
    others = statistics_of(write(rows, tmp_path / "moved"), tmp_path / "statistics")
    moved = 1 - before / len(rows["train"])

    with pytest.raises(RunError) as caught:
        gate(rows, champion=champion, statistics=others)

    assert str(caught.value) == (
        "the data failed their checks:\n"
        f"  drift: 'colour' has moved by {moved:.3f} (L-infinity distance; 'red' from "
        f"{before / len(rows['train']):.0%} to 100% of the rows) from the data of version 17, "
        "data.checks.max_drift allows 0.3. Look at what has changed; where it is intended, write "
        f"data.checks.drift.colour: {int(moved * 100 + 1) / 100:g}"
    )
    passed = f"drift from version 17 at most {moved:.3f} (colour)"
    allowed = DataChecks(drift={"colour": int(moved * 100 + 1) / 100})
    assert passed in text(gate(rows, allowed, champion, statistics=others))
    assert passed in text(gate(rows, DataChecks(max_drift=1.0), champion, statistics=others))
    strict = DataChecks(max_drift=1.0, drift={"colour": 0.1})
    with pytest.raises(RunError, match=r"data\.checks\.drift\.colour allows 0\.1\. "):
        gate(rows, strict, champion, statistics=others)


def test_everything_that_stops_is_reported_at_once(gate: Callable[..., Any], rows: Rows) -> None:
    rows["eval"][0].features.feature["image"].CopyFrom(rows["train"][0].features.feature["image"])

    with pytest.raises(RunError, match=r"(?s)  anomalies: .*\n  leakage: 1 of 30 eval rows"):
        gate(rows, classes=("red", "green"))


def test_a_champion_without_statistics_is_skipped_and_one_with_damaged_ones_is_not(
    gate: Callable[..., Any], rows: Rows, tmp_path: Path
) -> None:
    old = tmp_path / "17"
    (old / "assets.extra").mkdir(parents=True)

    assert text(gate(rows, champion=old)).endswith(
        "drift skipped: version 17 was published without statistics"
    )
    (old / "assets.extra" / "statistics.pb").write_bytes(b"\xff")
    with pytest.raises(RunError, match=r"statistics\.pb: the statistics are damaged: restore"):
        gate(rows, champion=old)
