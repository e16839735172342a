"""The Evaluator's work, with a champion only where there is one to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.evaluator import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import path_utils

from components.champion_resolver.executor import DIGEST_KEY, compared_version
from modules.registry.manifest import model_digest

BASELINE_KEY = standard_component_specs.BASELINE_MODEL_KEY
MODEL_KEY = standard_component_specs.MODEL_KEY


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
        champion = artifact_utils.get_single_instance(input_dict[BASELINE_KEY])
        candidate = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        if not comparable(candidate, champion):
            input_dict = {key: given for key, given in input_dict.items() if key != BASELINE_KEY}
        super().Do(input_dict, output_dict, exec_properties)


def comparable(candidate: types.Artifact, champion: types.Artifact) -> bool:
    """Whether there is a champion, of the same task, that is not the candidate itself.

    A model cannot be better than itself; it is published already.
    """
    if compared_version(champion) is None:
        return False
    digest = model_digest(Path(path_utils.serving_model_path(candidate.uri)))
    return digest != champion.get_string_custom_property(DIGEST_KEY)
