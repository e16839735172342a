"""Which runner each step takes; Beam's own parser is the judge of the arguments."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import create_runner

from tfx_fusion.modules.data.size import DataSize
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import (
    Beam,
    BeamStep,
    NumberFeature,
    Runner,
    Specification,
    load_specification,
)
from tfx_fusion.pipeline.beam import check_options, choose, in_words, size_to_choose_by

Make = Callable[[Beam], Specification]

POOL = {"environment_type": "EXTERNAL", "environment_config": "host:50000"}
FLINK = {"flink_master": "host:8081", "parallelism": 8, **POOL}
SPARK = {"spark_master_url": "spark://host:7077", **POOL}
DATAFLOW = {
    "project": "my-project",
    "region": "europe-west1",
    "temp_location": "gs://bucket/tmp",
    "sdk_container_image": "registry/fusion",
    "no_use_public_ips": True,
    "max_num_workers": 20,
    "experiments": ["use_runner_v2", "no_use_multiple_sdk_containers"],
}
LARGE = DataSize(rows=10_000_000)
SMALL = DataSize(rows=1_000)


@pytest.fixture
def specification(write_specification: Callable[..., Path]) -> Make:
    def make(beam: Beam) -> Specification:
        return load_specification(write_specification()).model_copy(update={"beam": beam})

    return make


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


def parsed(specification: Specification, step: BeamStep = "Rows") -> Any:
    """What Beam understands of a step's arguments: nothing may be left over."""
    options = PipelineOptions(list(choose(specification, None)[step].arguments))
    unknown = options.get_all_options(retain_unknown_options=True).keys()
    assert unknown == options.get_all_options().keys()
    return options


def test_in_memory_is_a_runner_that_downloads_nothing_and_starts_one_worker(
    specification: Make,
) -> None:
    from tfx_fusion.pipeline.beam_runner import LocalRunner

    options = parsed(specification(Beam()))

    assert type(create_runner(options.view_as(StandardOptions).runner)) is LocalRunner
    direct = options.view_as(DirectOptions)
    assert (direct.direct_running_mode, direct.direct_num_workers) == ("in_memory", 1)


@pytest.mark.parametrize(("workers", "wanted"), [(None, 4), (2, 2)])
def test_several_processes_are_as_many_as_asked_for_or_one_for_each_cpu(
    specification: Make, workers: int | None, wanted: int
) -> None:
    from tfx_fusion.pipeline.beam_runner import LocalRunner

    options = parsed(specification(Beam(runner="multi_process", workers=workers)))

    assert type(create_runner(options.view_as(StandardOptions).runner)) is LocalRunner
    direct = options.view_as(DirectOptions)
    assert (direct.direct_running_mode, direct.direct_num_workers) == ("multi_processing", wanted)


def test_flink_reads_its_options_and_where_workers_are(specification: Make) -> None:
    from apache_beam.runners.portability.flink_runner import FlinkRunner

    options = parsed(specification(Beam(runner="flink", options=FLINK)))

    assert type(create_runner(options.view_as(StandardOptions).runner)) is FlinkRunner
    assert options.view_as(FlinkRunnerOptions).flink_master == "host:8081"
    assert options.view_as(FlinkRunnerOptions).parallelism == 8
    environment = FlinkRunner().default_environment(options)
    assert environment.url == "host:50000"


def test_spark_reads_its_options_and_the_image_of_its_workers(specification: Make) -> None:
    from apache_beam.runners.portability.spark_runner import SparkRunner

    docker = {"environment_type": "DOCKER", "environment_config": "registry/fusion"}
    options = parsed(specification(Beam(runner="spark", options={**SPARK, **docker})))

    assert type(create_runner(options.view_as(StandardOptions).runner)) is SparkRunner
    assert options.view_as(SparkRunnerOptions).spark_master_url == "spark://host:7077"
    assert SparkRunner().default_environment(options).container_image == "registry/fusion"


def test_dataflow_reads_its_options_a_flag_and_a_list_among_them(specification: Make) -> None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    options = parsed(specification(Beam(runner="dataflow", options=DATAFLOW)))

    runner = create_runner(options.view_as(StandardOptions).runner)
    assert type(runner) is DataflowRunner
    cloud, workers = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    assert (cloud.project, cloud.region) == ("my-project", "europe-west1")
    assert workers.sdk_container_image == "registry/fusion"
    assert workers.use_public_ips is False
    assert workers.max_num_workers == 20
    assert options.view_as(DebugOptions).experiments == DATAFLOW["experiments"]
    validator = PipelineOptionsValidator(options, runner)
    assert validator.validate_gcs_path(cloud, "temp_location") == []
    assert validator.validate_cloud_options(cloud) == []


@pytest.mark.parametrize(
    "beam",
    [
        Beam(),
        Beam(runner="multi_process"),
        Beam(runner="flink", options=FLINK),
        Beam(runner="spark", options=SPARK),
        Beam(runner="dataflow", options=DATAFLOW),
    ],
    ids=lambda beam: beam.runner,
)
def test_tfx_never_packs_itself_up_for_workers_that_hold_the_project(
    specification: Make, beam: Beam
) -> None:
    from tfx.utils.dependency_utils import make_beam_dependency_flags

    arguments = list(choose(specification(beam), None)["Rows"].arguments)

    assert make_beam_dependency_flags(arguments) == arguments


def test_each_step_takes_its_own_runner_and_the_others_that_of_all(specification: Make) -> None:
    own = Runner(runner="flink", options=FLINK)
    mixed = specification(Beam(runner="multi_process", steps={"Embed": own}))

    assert parsed(mixed, "Embed").view_as(StandardOptions).runner == "FlinkRunner"
    assert parsed(mixed, "Embed").view_as(DirectOptions).direct_num_workers == 1
    assert parsed(mixed, "Evaluate").view_as(DirectOptions).direct_num_workers == 4
    assert parsed(mixed).view_as(PortableOptions).environment_type is None
    assert in_words(choose(mixed, None)) == [
        "Rows, Statistics, Transform, Evaluate on Beam: 4 processes",
        "Embed on Beam: runner flink",
    ]


def test_nothing_is_printed_where_nothing_is_asked_for(specification: Make) -> None:
    assert in_words(choose(specification(Beam()), None)) == []


# ----------------------------------------------------------------------------------------- auto


def workers_of(specification: Specification, size: DataSize | None) -> dict[str, int]:
    return {
        step: PipelineOptions(list(choice.arguments)).view_as(DirectOptions).direct_num_workers
        for step, choice in choose(specification, size).items()
    }


def test_many_rows_repay_processes_but_not_where_tensorflow_fills_the_cpus(
    specification: Make,
) -> None:
    auto = specification(Beam(runner="auto"))

    assert workers_of(auto, LARGE) == {
        "Rows": 4, "Statistics": 4, "Transform": 1, "Embed": 1, "Evaluate": 1
    }  # fmt: skip
    assert in_words(choose(auto, LARGE)) == [
        "Rows, Statistics on Beam: 4 processes, whose start 10,000,000 rows repay",
        "Transform on Beam: in memory, since 10,000,000 rows do not repay the start of processes",
        "Embed, Evaluate on Beam: in memory, where TensorFlow fills the CPUs by itself",
    ]


def test_transform_has_rows_to_read_where_a_number_is_scaled_by_what_they_show(
    specification: Make,
) -> None:
    auto = specification(Beam(runner="auto"))
    weight = NumberFeature(type="number", column="weight", normalize="standard")
    scaled = auto.model_copy(update={"features": {**auto.features, "weight": weight}})

    assert workers_of(scaled, LARGE)["Transform"] == 4


def test_few_rows_do_not_and_the_reason_is_printed(specification: Make) -> None:
    auto = specification(Beam(steps={"Rows": Runner(runner="auto")}))

    assert workers_of(auto, SMALL)["Rows"] == 1
    assert in_words(choose(auto, SMALL)) == [
        "Rows on Beam: in memory, since 1,000 rows do not repay the start of processes"
    ]


def test_large_pictures_make_rows_repay_processes_that_small_ones_do_not(
    specification: Make,
) -> None:
    auto = specification(Beam(runner="auto"))

    assert workers_of(auto, DataSize(5_000, media_bytes=10_000_000))["Rows"] == 1
    assert workers_of(auto, DataSize(5_000, media_bytes=5_000_000_000))["Rows"] == 4


def test_more_workers_than_cpus_gain_no_more(
    specification: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    auto = specification(Beam(runner="auto", workers=8))

    assert workers_of(auto, LARGE)["Rows"] == 1
    assert "Rows, Statistics, Transform on Beam: in memory, for want of a second CPU" in in_words(
        choose(auto, LARGE)
    )


def test_data_that_are_not_there_yet_leave_all_in_memory(specification: Make) -> None:
    auto = specification(Beam(runner="auto"))

    assert set(workers_of(auto, None).values()) == {1}
    assert "in memory, until the data exist and can be measured" in in_words(choose(auto, None))[0]


def test_the_data_are_measured_only_where_a_choice_depends_on_them(
    shared_world: Path, specification: Make
) -> None:
    world = load_specification(shared_world / "fusion.yaml")
    auto = world.model_copy(update={"beam": Beam(runner="auto")})

    found = size_to_choose_by(auto)
    assert found is not None
    assert found.rows == 90
    assert found.media_bytes > 0
    # There is no data file here: it is not looked for.
    assert size_to_choose_by(specification(Beam(runner="multi_process"))) is None
    embed = Beam(steps={"Embed": Runner(runner="auto")})
    assert size_to_choose_by(specification(embed)) is None


# -------------------------------------------------------------------------------- Beam's options


@pytest.mark.parametrize(
    "beam",
    [
        Beam(options={"direct_runner_bundle_repeat": 1}),
        Beam(runner="flink", options={**FLINK, "checkpointing_interval": 1000}),
        Beam(runner="dataflow", options=DATAFLOW),
    ],
    ids=lambda beam: beam.runner,
)
def test_options_that_beam_or_a_job_server_knows_pass(beam: Beam) -> None:
    check_options(beam)


def test_an_option_that_beam_would_ignore_or_refuse_is_an_error_with_its_key() -> None:
    wrong = {**DATAFLOW, "max_num_worker": 3}
    beam = Beam(
        options={"direct_runner_bundle_repeat": "often"},
        steps={
            "Embed": Runner(runner="dataflow", options=wrong),
            "Rows": Runner(runner="flink", options={**FLINK, "flink_version": 1.5}),
        },
    )

    with pytest.raises(SpecificationError) as caught:
        check_options(beam)

    first, second, third = caught.value.problems
    assert first == (
        "beam.options: argument --direct_runner_bundle_repeat: invalid int value: 'often'"
    )
    assert second == (
        "beam.steps.Embed.options.max_num_worker: Beam has no such option; did you mean "
        "'max_num_workers'?"
    )
    assert third.startswith("beam.steps.Rows.options: argument --flink_version: invalid choice")
