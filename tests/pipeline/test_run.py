"""The whole pipeline on a small world: what it publishes, reuses, notices and refuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from fusion_command import fusion

from tfx_fusion.modules.registry.lineage import lineages
from tfx_fusion.modules.registry.version_record import Source, read_version_record
from tfx_fusion.modules.registry.versions import all_versions
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.pipeline.commands.lineage import lineage
from tfx_fusion.pipeline.commands.schema import run_schema

pytestmark = pytest.mark.end_to_end
FUSION = Path(sys.executable).with_name("fusion")
METADATA = "runs/metadata.sqlite"
ALL = {
    "Rows", "Statistics", "DataChecks", "DataGate", "Import-vision", "Import-text", "Transform",
    "Embed", "Train", "Champion", "Evaluate", "ServingCheck", "Publish",
}  # fmt: skip


@dataclass
class Done:
    """A finished `fusion run`, and the published versions right after it."""

    code: int
    text: str
    record: dict[str, Any]
    versions: list[str]

    def steps(self, status: str) -> set[str]:
        return {step["name"] for step in self.record["steps"] if step["status"] == status}

    def summary(self, name: str) -> dict[str, Any]:
        return next(step["summary"] for step in self.record["steps"] if step["name"] == name)

    @property
    def version(self) -> str:
        """The name of the version that it published, or had published."""
        return Path(self.record["published"]).name


def run(folder: Path) -> Done:
    return finished(fusion("run", "fusion.yaml", folder=folder), folder)


def finished(done: subprocess.CompletedProcess[str], folder: Path) -> Done:
    text = done.stdout + done.stderr
    newest = max(folder.glob("runs/*/run.json"))
    versions = [version.name for version in all_versions(folder / "serving")]
    return Done(done.returncode, text, json.loads(newest.read_text()), versions)


@dataclass
class Runs:
    """Runs of one folder, one after the other, with what changed between them."""

    folder: Path
    first: Done
    unchanged: Done
    missed_bounds: Done  # of quality and in a model server
    leaking: Done  # a picture in both splits
    rejected: Done  # more rows than the limit
    allowed: Done  # the same rows under another limit
    warm: Done  # from the champion
    republished: Done  # after the folder of versions was moved away
    moved: Path  # to here

    def version(self, done: Done) -> Path:
        """The folder of a version that was published before the move."""
        return self.moved / done.version


@pytest.fixture(scope="module")
def runs(copy_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All runs are made here, so that the tests below may come in any order."""
    folder = copy_world(tmp_path_factory.mktemp("run") / "world")
    file, rows, images = folder / "fusion.yaml", folder / "data/rows.csv", folder / "data/images"
    first, unchanged = run(folder), run(folder)

    text, content = file.read_text(), rows.read_bytes()
    checks = "eval: 0.3}\n  checks: {max_leakage: 0.1, drift: {colour: 0.2}}\n"
    changed = text.replace("eval: 0.3}\n", checks).replace("{min: 0.2}", "{min: 1.01}")
    file.write_text(changed + "serving: {rows: 4, max_p99_ms: 1e-6}\n")
    missed_bounds = run(folder)
    file.write_text(text)

    shutil.copy(images / "0.png", images / "90.png")
    with rows.open("a") as stream:
        stream.write("94,images/90.png,very red,red\n")  # id 0 is hashed to train, 94 to eval
    leaking = run(folder)
    rows.write_bytes(content)

    (images / "3.png").write_bytes(b"")
    with rows.open("a") as stream:
        stream.write("90,images/0.png,very red,purple\n")
    rejected = run(folder)
    text = text.replace("eval: 0.3}\n", "eval: 0.3}\n  max_rejected: 0.05\n")
    file.write_text(text)
    allowed = run(folder)

    file.write_text(text.replace("  seed: 7\n", "  seed: 7\n  warm_start: champion\n"))
    warm = run(folder)
    file.write_text(text)

    moved = folder / "moved"
    (folder / "serving").rename(moved)
    republished = run(folder)
    return Runs(
        folder, first, unchanged, missed_bounds, leaking, rejected, allowed, warm, republished,
        moved,
    )  # fmt: skip


def test_a_run_publishes_a_model_and_records_every_step(runs: Runs) -> None:
    done, version = runs.first, runs.version(runs.first)
    assert done.code == 0, done.text
    assert done.steps("done") == ALL
    assert all(step["seconds"] > 0 for step in done.record["steps"])
    assert done.record["published"] == str(runs.folder / "serving" / version.name)
    assert (version / "saved_model.pb").is_file()
    assert (version / "assets.extra" / "tf_serving_warmup_requests").is_file()
    assert (version / "assets.extra" / "statistics.pb").is_file()
    assert done.summary("DataGate")["text"] == (
        "no anomalies, 0 of 23 eval rows leak, drift skipped: no published model yet"
    )
    served = done.summary("ServingCheck")
    assert served["text"].startswith("23 rows answered by fusion serve as in training, p50 ")
    assert served["speed"]["p50_ms"] > 0
    assert done.summary("Train")["learned_from"] == ["embeddings"]
    jsonschema.validate(done.record, run_schema())
    assert done.record["metrics"]["colour"]["example_count"] == pytest.approx(23)
    assert done.record["rejected"]["rows"] == 0
    assert done.record["published"] in done.text
    assert Path(done.record["log"]).stat().st_size > 0


def test_the_reported_accuracy_is_that_of_the_published_models_predictions(
    runs: Runs, shared_world: Path
) -> None:
    from tfx_fusion.modules.data import data_file
    from tfx_fusion.modules.data.split import split_of
    from tfx_fusion.modules.serving.published import PublishedModel

    done, folder = runs.first, shared_world
    model = PublishedModel(runs.version(done))
    shards = data_file.shards(folder / "data" / "rows.csv")
    rows = [row for shard in shards for row in data_file.read(shard)]
    chosen = [item for item in rows if split_of(item[1], model.specification.data.split) == "eval"]
    right = 0
    for (_, row), answer in zip(chosen, model.predict(chosen, folder / "data"), strict=True):
        chances = answer.outputs["colour"]
        right += max(chances, key=lambda name: chances[name]) == row["colour"]
    assert right / len(chosen) == pytest.approx(done.record["metrics"]["colour"]["accuracy"])


def test_the_imported_submodels_are_in_ml_metadata_with_digest_origin_and_interface(
    runs: Runs,
) -> None:
    import ml_metadata as mlmd
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(runs.folder / METADATA)
    store = mlmd.MetadataStore(config)
    found = {
        a.custom_properties["submodel"].string_value: a
        for a in store.get_artifacts_by_type("fusion.Submodel")
    }
    assert set(found) == {"vision", "text"}
    vision = found["vision"].custom_properties
    assert vision["origin"].string_value == str(runs.folder / "models" / "vision.keras")
    assert len(vision["digest"].string_value) == 64
    assert vision["parameters"].int_value == 179
    assert json.loads(vision["interface"].string_value)["inputs"]["image"]["shape"] == [8, 8, 3]


def test_the_report_shows_what_the_run_did(runs: Runs) -> None:
    done = runs.first
    page = Path(done.record["report"])
    assert page == Path(done.record["log"]).with_name("report.html")
    assert f"report {page}" in done.text
    html = page.read_text()
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    accuracy = done.record["metrics"]["colour"]["accuracy"]
    assert "67 rows in train, 23 rows in eval." in text
    assert re.search(rf"colour accuracy 23 {accuracy:.4f} \d\.\d{{4}} ≥ 0.2 pass", text)
    assert f"Confusion matrix of colour: {round(23 * accuracy)} of 23 rows are correct." in html
    assert "vision 8 158 " in text  # tensors and parameters that are proven frozen
    assert "This section could not be made" not in text
    assert "<script" not in html
    assert not re.search(r'(src|href)="(?!data:image/|#)', html)
    examples = html.count("<h4>")
    assert examples == min(12, 23 - round(23 * accuracy))
    pictures = re.findall(r'src="data:image/png', html)
    assert len(pictures) == examples


def test_predict_prints_the_class_of_each_row(runs: Runs, shared_world: Path) -> None:
    model = str(runs.version(runs.first))
    done = fusion("predict", model, "data/rows.csv", "--rows", "5", "--json", folder=shared_world)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["row"] for answer in answers] == [f"row {number}" for number in range(1, 6)]
    for answer in answers:
        assert list(answer["colour"]) == ["red", "green", "blue"]
        assert sum(answer["colour"].values()) == pytest.approx(1, abs=1e-5)


def test_a_second_run_does_only_what_depends_on_the_champion_and_publishes_nothing_anew(
    runs: Runs,
) -> None:
    before, done = runs.first, runs.unchanged
    assert done.code == 0, done.text
    assert done.steps("done") == {"Champion", "DataGate", "Evaluate", "Publish"}
    assert done.steps("reused") == ALL - done.steps("done")
    published = before.record["published"]
    version = Path(published).name
    assert done.summary("DataGate")["text"].endswith(
        f"drift from version {version} at most 0.000 (colour)"
    )
    assert before.summary("Champion")["text"] == "no published model yet"
    assert done.summary("Champion")["text"] == f"version {version}"
    assert before.summary("Publish")["text"] == f"published {published}"
    assert done.summary("Publish")["text"] == f"already published {published}"
    assert done.record["published"] == published
    assert done.record["metrics"] == before.record["metrics"]
    assert done.versions == [version]


def test_missed_bounds_train_nothing_again_and_publish_nothing(runs: Runs) -> None:
    done = runs.missed_bounds
    assert done.code == 1
    assert {"Rows", "Embed", "Train", "Champion"} <= done.steps("reused")
    assert "DataGate" in done.steps("done")
    assert done.record["published"] is None
    assert "the model was not published: colour.accuracy is" in done.text
    assert "at least 1.01 is needed" in done.text
    assert "in a model server: p99 is" in done.text
    assert "serving.max_p99_ms allows 1e-06" in done.text
    assert done.versions == runs.first.versions
    html = Path(done.record["report"]).read_text()
    assert "Missed: colour.accuracy is" in html
    assert "Confusion matrix of colour" in html


def test_a_picture_in_both_splits_stops_the_run_before_anything_is_trained(runs: Runs) -> None:
    done = runs.leaking
    assert done.code == 1
    assert done.steps("failed") == {"DataGate"}
    assert {"Embed", "Train"} <= done.steps("waiting")
    assert "step DataGate failed: the data failed their checks:" in done.text
    assert "leakage: 1 of 24 eval rows (4.2%) hold media of a training row, byte" in done.text
    assert "data.checks.max_leakage allows 0.0%. First: row 91 ('image' as in row 1)." in done.text
    assert done.versions == runs.first.versions


def test_too_many_bad_rows_fail_the_run_with_the_first_reasons(runs: Runs) -> None:
    done = runs.rejected
    assert done.code == 1
    assert done.steps("failed") == {"Rows"}
    assert "2 of 91 rows were rejected, data.max_rejected allows 1 %" in done.text
    assert "row 4, column 'image_path': expected an image" in done.text
    assert done.record["rejected"]["rows"] == 2
    file = Path(*done.record["rejected"]["files"])
    assert f"Rejected rows with their reasons: {file}" in done.text
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == [
        "row", "row 4", "row 91",
    ]  # fmt: skip
    assert "log: " in done.text
    html = Path(done.record["report"]).read_text()
    assert "2 rows were rejected, by column: image_path 1, colour 1." in html
    assert "The run ended before a model was trained." in html


def test_allowed_bad_rows_are_counted_and_saved_with_their_reasons(runs: Runs) -> None:
    done = runs.allowed
    assert done.code == 0, done.text
    assert done.record["rejected"]["rows"] == 2
    lines = Path(*done.record["rejected"]["files"]).read_text().splitlines()
    assert lines[0] == "row,column,reason"
    assert lines[1].startswith("row 4,image_path,")
    assert lines[2] == "row 91,colour,\"expected one of red, green, blue; found 'purple'\""
    assert {"Import-vision", "Import-text", "Champion"} <= done.steps("reused")
    assert "Rows" in done.steps("done")


def test_the_version_record_holds_what_was_measured_and_which_champion_was_compared(
    runs: Runs,
) -> None:
    record = read_version_record(runs.version(runs.allowed))
    earlier = read_version_record(runs.version(runs.first))
    assert record is not None
    assert earlier is not None
    last = runs.allowed.record
    assert record.run == Path(last["log"]).parent.name
    assert record.metrics == last["metrics"]
    assert (earlier.gates.champion, record.gates.champion) == (None, runs.first.version)
    assert record.gates.evaluation["thresholds"] == {
        "colour": {"accuracy": {"min": 0.2, "max": None, "change": None}}
    }
    assert earlier.data.fingerprint != record.data.fingerprint
    assert earlier.metrics == runs.first.record["metrics"]
    outputs = {key: uri for step in last["steps"] for key, uri in step["outputs"].items()}
    config = json.loads(Path(outputs["evaluation"], "eval_config.json").read_text())
    assert {spec["name"] for spec in config["evalConfig"]["modelSpecs"]} == {
        "candidate",
        "baseline",
    }


def test_two_runs_of_one_seed_give_the_same_metrics(
    runs: Runs, shared_world: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    shutil.copytree(shared_world, folder)
    # Forks of one process would hash and draw alike, whatever the seed.
    command = [str(FUSION), "run", "fusion.yaml"]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    done = finished(process, folder)
    assert done.record["metrics"] == runs.first.record["metrics"]
    histories = []
    for record in (runs.first.record, done.record):
        outputs = {key: uri for s in record["steps"] for key, uri in s["outputs"].items()}
        history = json.loads(Path(outputs["training_record"], "history.json").read_text())
        histories.append([stage["epochs"] for stage in history["stages"]])
    assert histories[0] == histories[1]


def test_ml_metadata_knows_what_a_version_came_from(runs: Runs) -> None:
    folder, old = runs.folder, runs.first.version
    known = lineages(runs.moved, folder / METADATA)
    for done, rows in ((runs.first, [67, 23, 0]), (runs.allowed, [66, 23, 2])):
        found, record = known.of_version(done.version), read_version_record(runs.version(done))
        assert record is not None
        assert found.recorded_in == "ML Metadata"
        assert list(found.rows.values()) == rows
        assert (found.run, found.specification) == (record.run, record.specification)
        assert (found.data, found.metrics) == (record.data, record.metrics)
        assert found.submodels == record.submodels
        assert abs(found.published - record.published).total_seconds() < 60
    path = folder / "models" / "vision.keras"
    vision = known.of_version(old).submodels["vision"]
    assert vision == Source(digest=inspect_submodel(path).digest, origin=str(path))
    assert known.of_version(old).run == Path(runs.first.record["log"]).parent.name

    printed = CliRunner().invoke(lineage, [str(folder / "fusion.yaml"), old]).stdout
    text = " ".join(printed.split())
    assert f"version {old}, no longer in the folder" in text
    assert f"data {folder / 'data' / 'rows.csv'} fingerprint" in text
    assert "67 train, 23 eval, 0 rejected" in text
    assert f"sub-model vision {path} digest {vision.digest}" in text
    assert "recorded in ML Metadata specification: " in text


def test_a_warm_start_trains_on_from_the_version_published_before(runs: Runs) -> None:
    done, champion = runs.warm, runs.allowed.version
    assert done.code == 0, done.text
    assert "Transform" in done.steps("reused")
    assert done.summary("Train")["warm_start"] == (f"4 of 4 variables from champion {champion}")
    assert done.version != champion


def test_published_versions_that_were_deleted_are_published_anew(runs: Runs) -> None:
    done = runs.republished
    assert done.code == 0, done.text
    assert "Train" in done.steps("reused")
    assert done.versions == [done.version]
    assert done.summary("Champion")["text"] == "no published model yet"


def test_where_a_submodel_is_is_shown_of_versions_that_are_gone_too(runs: Runs) -> None:
    folder = runs.folder
    digest = inspect_submodel(folder / "models" / "vision.keras").digest
    arguments = [str(folder / "fusion.yaml"), "--submodel", digest[:8]]
    printed = CliRunner().invoke(lineage, arguments).stdout.splitlines()
    lines = {line.split()[0]: line for line in printed if line[:1].isdigit()}
    served = runs.republished.version
    assert len(lines) == 4
    assert lines.keys() > {served, runs.first.version}
    for name, line in lines.items():
        status = "served" if name == served else "no longer in the folder"
        assert line.removeprefix(name).strip().startswith(f"{status}  ")
        assert f"vision     {digest[:12]}" in line
        assert line.rstrip().endswith("ML Metadata")
