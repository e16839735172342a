"""What a specification may say of Beam's runners."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Beam, Runner, Specification, load_specification

Write = Callable[..., Path]

PUBLISH = "publish: {path: serving}\n"
FLINK = "flink_master: 'host:8081', environment_type: EXTERNAL, environment_config: 'host:50000'"
SPARK = "spark_master_url: 'spark://host:7077', environment_type: LOOPBACK"
DATAFLOW = "project: p, region: europe-west1, temp_location: 'gs://bucket/tmp'"
IMAGE = "sdk_container_image: registry/fusion"


def load(write_specification: Write, beam: str) -> Specification:
    return load_specification(write_specification((PUBLISH, f"{PUBLISH}beam: {beam}\n")))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("in_memory", Beam()),
        ("auto", Beam(runner="auto")),
        ("multi_process", Beam(runner="multi_process")),
        ("{runner: multi_process, workers: 4}", Beam(runner="multi_process", workers=4)),
        ("{runner: auto, workers: 4}", Beam(runner="auto", workers=4)),
        ("{options: {direct_runner_bundle_repeat: 1}}",
         Beam(options={"direct_runner_bundle_repeat": 1})),
        ("{steps: {Rows: multi_process, Embed: {runner: auto}}}",
         Beam(steps={"Rows": Runner(runner="multi_process"), "Embed": Runner(runner="auto")})),
        (f"{{runner: flink, options: {{{FLINK}, parallelism: 8, checkpointing_interval: 1e3}}}}",
         Beam(runner="flink", options={
             "flink_master": "host:8081", "environment_type": "EXTERNAL",
             "environment_config": "host:50000", "parallelism": 8,
             "checkpointing_interval": 1e3})),
        ("{runner: flink, options: {job_endpoint: 'host:8099', environment_type: LOOPBACK}}",
         Beam(runner="flink", options={
             "job_endpoint": "host:8099", "environment_type": "LOOPBACK"})),
        (f"{{runner: spark, options: {{{SPARK}}}}}",
         Beam(runner="spark", options={
             "spark_master_url": "spark://host:7077", "environment_type": "LOOPBACK"})),
        (f"{{runner: dataflow, options: {{{DATAFLOW}, {IMAGE}, experiments: [a, b], "
         "no_use_public_ips: true}}",
         Beam(runner="dataflow", options={
             "project": "p", "region": "europe-west1", "temp_location": "gs://bucket/tmp",
             "sdk_container_image": "registry/fusion", "experiments": ["a", "b"],
             "no_use_public_ips": True})),
    ],
)  # fmt: skip
def test_a_runner_is_named_for_all_steps_or_for_some_with_its_options(
    write_specification: Write, text: str, wanted: Beam
) -> None:
    assert load(write_specification, text).beam == wanted


def test_all_stay_in_memory_unless_something_else_is_said(write_specification: Write) -> None:
    assert load_specification(write_specification()).beam == Beam(runner="in_memory")


def test_a_step_without_a_runner_of_its_own_takes_the_one_of_all(
    write_specification: Write,
) -> None:
    beam = load(write_specification, "{runner: auto, steps: {Embed: in_memory}}").beam

    assert beam.of("Embed").runner == "in_memory"
    assert beam.of("Rows").runner == "auto"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # names
        ("flnk", "beam: expected 'in_memory', 'multi_process', 'auto', 'flink', 'spark' or "
         "'dataflow', found 'flnk'; did you mean 'flink'?"),
        ("{runer: auto}", "beam.runer: unknown key: did you mean 'runner'?"),
        ("{steps: {Row: auto}}", "beam.steps.Row: expected 'Rows', 'Statistics', 'Transform', "
         "'Embed' or 'Evaluate', found 'Row'; did you mean 'Rows'?"),
        ("{steps: {Train: auto}}", "found 'Train'"),
        ("{options: {'--parallelism': 8}}", "beam.options.--parallelism"),
        # processes
        ("{runner: multi_process, workers: 0}", "beam.workers"),
        ("{workers: 2}", "beam: runner in_memory takes no 'workers'"),
        (f"{{runner: dataflow, workers: 2, options: {{{DATAFLOW}, {IMAGE}}}}}",
         "beam: runner dataflow takes no 'workers': Beam calls them options.num_workers there"),
        # values
        ("{options: {verbose: false}}", "beam.options.verbose: expected a text, a number, true, or "
         "a list of texts or numbers, found False: omit a flag that is not set"),
        ("{options: {labels: {a: b}}}", "beam.options.labels: expected a text"),
        ("{options: {experiments: [a, true]}}", "beam.options.experiments: expected a text"),
        ("{options: {experiments: [[a]]}}", "beam.options.experiments: expected a text"),
        ("{options: {experiments: null}}", "beam.options.experiments: expected a text"),
        # what a key says already
        ("{options: {runner: FlinkRunner}}",
         "beam: options.runner: the key 'runner' sets it; remove it"),
        ("{runner: multi_process, options: {direct_num_workers: 2}}",
         "beam: options.direct_num_workers: the key 'workers' sets it; remove it"),
        ("{options: {direct_running_mode: multi_processing}}",
         "beam: options.direct_running_mode: runner: multi_process sets it; remove it"),
        # what another runner reads
        ("{steps: {Rows: {options: {flink_master: 'host:8081'}}}}",
         "beam.steps.Rows: options.flink_master: runner in_memory ignores it; it is for flink"),
        ("{options: {environment_type: DOCKER}}",
         "options.environment_type: runner in_memory ignores it; it is for flink and spark"),
        (f"{{runner: flink, options: {{{FLINK}, direct_runner_bundle_repeat: 1}}}}",
         "options.direct_runner_bundle_repeat: runner flink ignores it"),
        (f"{{runner: spark, options: {{{SPARK}, {IMAGE}}}}}",
         "options.sdk_container_image: runner spark ignores it; it is for dataflow; write "
         "environment_type: DOCKER, environment_config: IMAGE"),
        (f"{{options: {{{IMAGE}}}}}",
         "options.sdk_container_image: runner in_memory ignores it; it is for dataflow"),
        # what is missing
        ("flink", "beam: runner flink needs options.flink_master or job_endpoint, found no "
         "options"),
        ("{runner: flink, options: {flink_master: 'host:8081'}}",
         "beam: runner flink needs options.environment_type, found flink_master"),
        ("spark", "beam: runner spark needs options.spark_master_url or spark_rest_url or "
         "job_endpoint, found no options"),
        ("dataflow", "beam: runner dataflow needs options.project, found no options"),
        ("{runner: dataflow, options: {project: p, temp_location: 'gs://bucket/tmp'}}",
         "beam: runner dataflow needs options.region, found project, temp_location"),
        ("{runner: dataflow, options: {project: p, region: r}}",
         "beam: runner dataflow needs options.temp_location, found project, region"),
        (f"{{runner: dataflow, options: {{{DATAFLOW}}}}}",
         "beam: runner dataflow needs options.sdk_container_image"),
        # where workers are
        ("{runner: flink, options: {job_endpoint: h, environment_type: docker}}",
         "options.environment_type: expected DOCKER, EXTERNAL, PROCESS, LOOPBACK, found 'docker'"),
        ("{runner: flink, options: {job_endpoint: h, environment_type: DOCKER}}",
         "environment_type DOCKER needs options.environment_config: the image that holds this "
         "project"),
        ("{runner: spark, options: {job_endpoint: h, environment_type: EXTERNAL}}",
         "environment_type EXTERNAL needs options.environment_config: HOST:PORT of the worker "
         "pool"),
        # buckets
        (f"{{runner: dataflow, options: {{project: p, region: r, temp_location: /tmp, {IMAGE}}}}}",
         "beam: options.temp_location: expected gs://BUCKET/FOLDER, found '/tmp'"),
        (f"{{runner: dataflow, options: {{project: p, region: r, temp_location: 'gs://bucket', "
         f"{IMAGE}}}}}",
         "beam: options.temp_location: expected gs://BUCKET/FOLDER, found 'gs://bucket'"),
        (f"{{runner: dataflow, options: {{{DATAFLOW}, {IMAGE}, staging_location: 's3://bucket/x'"
         "}}",
         "beam: options.staging_location: expected gs://BUCKET/FOLDER, found 's3://bucket/x'"),
    ],
)  # fmt: skip
def test_what_no_runner_could_do_is_refused(
    write_specification: Write, text: str, message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        load(write_specification, text)
    assert message in str(caught.value)


def test_the_schema_offers_a_name_or_a_mapping() -> None:
    schema = Specification.model_json_schema()

    name, mapping = schema["properties"]["beam"]["anyOf"]
    assert "multi_process" in name["enum"]
    assert "steps" in schema["$defs"][mapping["$ref"].rpartition("/")[2]]["properties"]


def test_what_the_readme_shows_for_other_machines_is_valid() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    _, _, section = readme.partition("\n### Beyond one process and one machine\n")
    section = section.partition("\n## ")[0]
    shown = [
        YAML(typ="safe", pure=True).load(block)["beam"]
        for block in re.findall(r"```yaml\n(beam:\n.*?)```", section, re.DOTALL)
    ]

    assert [part.get("runner", "in_memory") for part in shown] == ["flink", "spark", "in_memory"]
    for part in shown:
        Beam.model_validate(part)
