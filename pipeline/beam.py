"""Which runner of Beam a step takes, the reason, and the arguments that say so."""

import os
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from typing import get_args

from tfx_fusion.modules.data.size import DataSize, data_size
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Beam, BeamStep, NumberFeature, Runner, Specification

# Workers that hold the project already. TFX would else pack itself up for them, two seconds a
# step, and without the project (tfx/utils/dependency_utils.py); an image that is named keeps it
# from that. Beam reads it only on Dataflow.
NO_PACKAGE = "--sdk_container_image=none"
IN_MEMORY = (
    # Pinned: Beam's DirectRunner would first look for another runner, and download it.
    "--runner=tfx_fusion.pipeline.beam_runner.LocalRunner",
    NO_PACKAGE,
)
# Their job servers, written in Java, have options that only they know.
OWN_OPTIONS = ("flink", "spark")
ELSEWHERE = {"flink": "FlinkRunner", "spark": "SparkRunner", "dataflow": "DataflowRunner"}

# Seconds until the workers have imported all they need.
START_SECONDS = 14.0


@dataclass(frozen=True)
class Cost:
    """The seconds of a step in memory, on one CPU, for each row and each byte of media."""

    row: float
    media_byte: float = 0.0


# Measured on two CPUs with text, a number and a class in a row, and with JPEGs of 70 kB. Rows and
# Statistics of 500,000 such rows took 14 and 26 s in memory, 21 and 31 s in two processes. In Embed
# and Evaluate TensorFlow fills the CPUs by itself: several processes gain nothing.
COSTS: dict[BeamStep, Cost] = {
    "Rows": Cost(28e-6, 17e-9),
    "Statistics": Cost(50e-6),
    "Transform": Cost(16e-6),
}


@dataclass(frozen=True)
class Choice:
    """How Beam runs a step; `reason` is for people, and empty where nothing was asked for."""

    arguments: tuple[str, ...]
    reason: str = ""


def choose(specification: Specification, size: DataSize | None) -> dict[BeamStep, Choice]:
    """How Beam runs each step. Where the size is not known, `auto` stays in memory."""
    cpus = len(os.sched_getaffinity(0))
    return {
        step: _choice(specification.beam.of(step), _cost(step, specification), size, cpus)
        for step in get_args(BeamStep)
    }


def size_to_choose_by(specification: Specification) -> DataSize | None:
    """The size of the data, where a choice depends on it.

    Raises RunError where the data file is missing or empty.
    """
    wanted = {specification.beam.of(step).runner for step in COSTS}
    return data_size(RowSource.of(specification)) if "auto" in wanted else None


def in_words(choices: Mapping[BeamStep, Choice]) -> list[str]:
    """What was chosen, a line for all steps of one choice; nothing of those left as they are."""
    steps: dict[str, list[str]] = {}
    for step, choice in choices.items():
        if choice.reason:
            steps.setdefault(choice.reason, []).append(step)
    return [f"{', '.join(names)} on Beam: {reason}" for reason, names in steps.items()]


def check_options(beam: Beam) -> None:
    """Raises SpecificationError for each option that Beam would ignore or refuse.

    It imports Beam, which takes five seconds.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    runners = {"beam": beam, **{f"beam.steps.{name}": own for name, own in beam.steps.items()}}
    problems: list[str] = []
    for key, runner in runners.items():
        options, complaint = PipelineOptions(as_arguments(runner)), StringIO()
        try:
            with redirect_stderr(complaint):
                known = options.get_all_options()
        except SystemExit:  # argparse, which prints how it is called and then the cause
            cause = complaint.getvalue().strip().rpartition("error: ")[2]
            problems.append(f"{key}.options: {cause}")
            continue
        if runner.runner in OWN_OPTIONS:
            continue
        unknown = options.get_all_options(retain_unknown_options=True).keys() - known
        problems += [
            f"{key}.options.{name}: Beam has no such option; {suggestion(name, known)}"
            for name in sorted(unknown)
        ]
    if problems:
        raise SpecificationError(problems)


def _cost(step: BeamStep, specification: Specification) -> Cost | None:
    """What a step costs; None where several processes gain nothing."""
    scaled = (
        isinstance(feature, NumberFeature) and feature.normalize != "none"
        for feature in specification.features.values()
    )
    if step == "Transform" and not any(scaled):
        return Cost(0)  # it has no row to read
    return COSTS.get(step)


def _choice(runner: Runner, cost: Cost | None, size: DataSize | None, cpus: int) -> Choice:
    free = as_arguments(runner)
    if runner.runner == "in_memory":
        return Choice((*IN_MEMORY, *free), "in memory, with options" if free else "")
    if runner.runner in ELSEWHERE:
        package = () if runner.runner == "dataflow" else (NO_PACKAGE,)
        arguments = (f"--runner={ELSEWHERE[runner.runner]}", *package, *free)
        return Choice(arguments, f"runner {runner.runner}")
    workers = runner.workers or cpus
    several = (
        *IN_MEMORY,
        "--direct_running_mode=multi_processing",
        f"--direct_num_workers={workers}",
        *free,
    )
    if runner.runner == "multi_process":
        return Choice(several, f"{workers} processes")
    pays, reason = _pays(cost, size, min(workers, cpus))
    if pays:
        return Choice(several, f"{workers} processes, {reason}")
    return Choice((*IN_MEMORY, *free), f"in memory, {reason}")


def _pays(cost: Cost | None, size: DataSize | None, at_once: int) -> tuple[bool, str]:
    """Whether several processes repay their start, and the reason."""
    if cost is None:
        return False, "where TensorFlow fills the CPUs by itself"
    if size is None:
        return False, "until the data exist and can be measured"
    if at_once == 1:
        return False, "for want of a second CPU"
    seconds = size.rows * cost.row + size.media_bytes * cost.media_byte
    if seconds * (1 - 1 / at_once) <= START_SECONDS:
        return False, f"since {size.rows:,} rows do not repay the start of processes"
    return True, f"whose start {size.rows:,} rows repay"


def as_arguments(runner: Runner) -> list[str]:
    """The options of a runner as Beam reads them: a list gives its option several times."""
    return [
        f"--{name}" if item is True else f"--{name}={item}"
        for name, value in runner.options.items()
        for item in (value if isinstance(value, list) else [value])
    ]
