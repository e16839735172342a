"""ManifestExampleGen: a data file becomes tf.Examples by split, their schema, and a list of
rejected rows.

TFX takes long to import, so it is imported where it is used.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_fusion.modules.data.fingerprint import fingerprint
from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import load_specification

pytestmark = pytest.mark.component

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@pytest.fixture
def generate(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs the executor; returns the artifacts that it filled."""

    def run(source: RowSource, known_fingerprint: str = "") -> dict[str, Any]:
        from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
        from tfx.types import standard_artifacts

        from tfx_fusion.components.artifacts import RejectedRows
        from tfx_fusion.components.manifest_example_gen import executor

        artifacts = {
            executor.EXAMPLES_KEY: standard_artifacts.Examples(),
            executor.SCHEMA_KEY: standard_artifacts.Schema(),
            executor.REJECTED_KEY: RejectedRows(),
        }
        for key, artifact in artifacts.items():
            artifact.uri = str(tmp_path / key)
        context = BaseBeamExecutor.Context(
            beam_pipeline_args=[RUNNER], tmp_dir=str(tmp_path / "temporary"), unique_id="1"
        )
        executor.Executor(context).Do(
            {},
            {key: [artifact] for key, artifact in artifacts.items()},
            {
                executor.SOURCE_KEY: source.model_dump_json(),
                executor.PATH_KEY: str(source.data.path),
                executor.FINGERPRINT_KEY: known_fingerprint,
            },
        )
        return artifacts

    return run


def counts(rejected: Any) -> dict[str, int]:
    return {name: rejected.get_int_custom_property(name) for name in ("train", "eval", "rejected")}


def records(folder: Path) -> list[tf.train.Example]:
    return [
        tf.train.Example.FromString(record.numpy())
        for file in sorted(folder.glob("data_tfrecord-*"))
        for record in tf.data.TFRecordDataset(str(file))
    ]


def ids(examples: list[tf.train.Example]) -> set[bytes]:
    return {example.features.feature["row_id"].bytes_list.value[0] for example in examples}


def test_every_row_becomes_one_example_of_one_split(
    generate: Callable[..., dict[str, Any]], shared_world: Path
) -> None:
    from tfx.types import artifact_utils

    source = RowSource.of(load_specification(shared_world / "fusion.yaml"))

    artifacts = generate(source)

    examples = artifacts["examples"]
    assert artifact_utils.decode_split_names(examples.split_names) == ["train", "eval"]
    train, evaluation = (
        records(Path(artifact_utils.get_split_uri([examples], split)))
        for split in ("train", "eval")
    )
    assert ids(train) | ids(evaluation) == {f"row {number}".encode() for number in range(1, 91)}
    assert len(train) + len(evaluation) == 90
    assert min(len(train), len(evaluation)) > 0

    rejected = artifacts["rejected_rows"]
    assert counts(rejected) == {"train": len(train), "eval": len(evaluation), "rejected": 0}


@pytest.mark.parametrize("known", [True, False], ids=["known before", "seen by the component"])
def test_the_examples_record_what_they_were_read_from(
    generate: Callable[..., dict[str, Any]], shared_world: Path, known: bool
) -> None:
    source = RowSource.of(load_specification(shared_world / "fusion.yaml"))
    content = fingerprint(source.data.path, source.features)

    examples = generate(source, content if known else "")["examples"]

    assert examples.get_string_custom_property("read_from") == str(source.data.path)
    assert examples.get_string_custom_property("data_fingerprint") == content


def test_other_rows_than_the_fingerprint_says_fail_the_step(
    generate: Callable[..., dict[str, Any]], shared_world: Path
) -> None:
    source = RowSource.of(load_specification(shared_world / "fusion.yaml"))

    with pytest.raises(RunError, match=f"{source.data.path}: .* was changed while"):
        generate(source, "a fingerprint of before")


def test_the_schema_is_the_one_that_the_specification_implies(
    generate: Callable[..., dict[str, Any]], shared_world: Path
) -> None:
    specification = load_specification(shared_world / "fusion.yaml")

    artifacts = generate(RowSource.of(specification))

    text = Path(artifacts["schema"].uri, "schema.pbtxt").read_text()
    schema = text_format.Parse(text, schema_pb2.Schema())
    assert schema == implied_schema(specification.features, specification.labels)


def test_rejected_rows_are_counted_and_saved_with_their_reasons(
    generate: Callable[..., dict[str, Any]], world: Path
) -> None:
    (world / "data" / "images" / "4.png").unlink()
    source = RowSource.of(load_specification(world / "fusion.yaml"))
    patient = source.model_copy(
        update={"data": source.data.model_copy(update={"max_rejected": 0.05})}
    )

    rejected = generate(patient)["rejected_rows"]

    found = counts(rejected)
    assert found["rejected"] == 1
    assert found["train"] + found["eval"] == 89
    names = sorted(path.name for path in Path(rejected.uri).iterdir())
    assert names == ["files.json", "rejected_rows.csv"]
    with Path(rejected.uri, "rejected_rows.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)
    assert row["row"] == "row 5"
    assert row["column"] == "image_path"
    assert row["reason"] == f"no such file: {world}/data/images/4.png"


def test_too_many_rejected_rows_fail_the_step(
    generate: Callable[..., dict[str, Any]], world: Path
) -> None:
    (world / "data" / "images" / "4.png").unlink()
    source = RowSource.of(load_specification(world / "fusion.yaml"))

    with pytest.raises(RunError, match="1 of 90 rows were rejected"):
        generate(source)


def test_the_component_declares_the_data_with_its_fingerprint(shared_world: Path) -> None:
    from tfx.types import standard_artifacts

    from tfx_fusion.components.artifacts import RejectedRows
    from tfx_fusion.components.manifest_example_gen.component import ManifestExampleGen

    source = RowSource.of(load_specification(shared_world / "fusion.yaml"))

    component = ManifestExampleGen(source, "f1")

    assert RowSource.model_validate_json(component.exec_properties["source"]) == source
    assert component.exec_properties["data_fingerprint"] == "f1"
    assert {key: channel.type for key, channel in component.outputs.items()} == {
        "examples": standard_artifacts.Examples,
        "schema": standard_artifacts.Schema,
        "rejected_rows": RejectedRows,
    }
