"""Beam's own word on the options of a specification; Beam takes five seconds to import."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO

from apache_beam.options.pipeline_options import PipelineOptions

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Beam
from tfx_fusion.pipeline.beam import as_arguments

# Their job servers, written in Java, have options that only they know.
WITH_OTHERS = ("flink", "spark")


def check_options(beam: Beam) -> None:
    """Raises SpecificationError for each option that Beam would pass over or not take."""
    runners = {"beam": beam, **{f"beam.stages.{name}": own for name, own in beam.stages.items()}}
    problems: list[str] = []
    for key, runner in runners.items():
        options, told = PipelineOptions(as_arguments(runner)), StringIO()
        try:
            with redirect_stderr(told):
                known = options.get_all_options()
        except SystemExit:  # argparse, which prints how it is called and then the cause
            problems.append(f"{key}.options: {told.getvalue().strip().rpartition('error: ')[2]}")
            continue
        if runner.runner in WITH_OTHERS:
            continue
        unknown = options.get_all_options(retain_unknown_options=True).keys() - known
        problems += [
            f"{key}.options.{name}: Beam has no such option; {suggestion(name, known)}"
            for name in sorted(unknown)
        ]
    if problems:
        raise SpecificationError(problems)
