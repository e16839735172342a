"""Quality: TFX's Evaluator, given the champion as its baseline."""

from __future__ import annotations

from tfx.components.evaluator import component
from tfx.dsl.components.base import executor_spec

from components.evaluator import executor


class Evaluator(component.Evaluator):
    """TFX's, whose `baseline_model` comes from a ChampionResolver."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
