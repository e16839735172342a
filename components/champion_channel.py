"""The champion as an input of a component: what its artifact says, and when a candidate is
compared with it."""

from __future__ import annotations

from pathlib import Path

from tfx import types
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import path_utils

from tfx_fusion.modules.registry.champion import Champion
from tfx_fusion.modules.registry.version_record import model_digest

BASELINE_KEY = standard_component_specs.BASELINE_MODEL_KEY
MODEL_KEY = standard_component_specs.MODEL_KEY

# Properties of the artifact.
EXISTS_KEY = "model_exists"
VERSION_KEY = "version"
DIGEST_KEY = "model_digest"
UNLIKE_KEY = "unlike"


def describe(artifact: types.Artifact, champion: Champion | None) -> None:
    """Tells of the champion in an artifact's properties, or that there is none."""
    artifact.set_int_custom_property(EXISTS_KEY, int(champion is not None))
    if champion is not None:
        artifact.set_string_custom_property(VERSION_KEY, champion.version)
        artifact.set_string_custom_property(DIGEST_KEY, champion.digest)
        artifact.set_string_custom_property(UNLIKE_KEY, champion.not_comparable)


def compared_version(champion: types.Artifact) -> str | None:
    """The version that a candidate can be compared with; None where there is none."""
    if champion.get_string_custom_property(UNLIKE_KEY):
        return None
    return champion.get_string_custom_property(VERSION_KEY) or None


def with_comparable_baseline(
    input_dict: dict[str, list[types.Artifact]],
) -> dict[str, list[types.Artifact]]:
    """An Evaluator's inputs, the baseline left out where there is none to compare with.

    Whether there is one is known only when a pipeline runs: on Kubeflow it is compiled once for
    all runs. Nor is a model compared with itself: it cannot be better, and is published already.
    """
    champion = artifact_utils.get_single_instance(input_dict[BASELINE_KEY])
    candidate = artifact_utils.get_single_uri(input_dict[MODEL_KEY])
    if compared_version(champion) is not None:
        digest = model_digest(Path(path_utils.serving_model_path(candidate)))
        if digest != champion.get_string_custom_property(DIGEST_KEY):
            return input_dict
    return {key: given for key, given in input_dict.items() if key != BASELINE_KEY}
