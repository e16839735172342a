"""The Evaluator's work, with a champion only where there is one to compare with."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.evaluator import executor

from components.champion_channel import with_comparable_baseline


class Executor(executor.Executor):
    """TFX's own, which adds the baseline to the config where it gets one.

    Without one, thresholds of change are passed over and all others hold.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        super().Do(with_comparable_baseline(input_dict), output_dict, exec_properties)
