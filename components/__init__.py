"""The TFX components, one by one, for anybody's pipeline. Each is imported when it is used.

from tfx_fusion.components import components_for

fused = components_for(fusion, examples, transform_graph)  # channels of others' components
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfx_fusion.components.champion_resolver.component import ChampionResolver
    from tfx_fusion.components.data_gate.component import DataGate
    from tfx_fusion.components.embedding_gen.component import EmbeddingGen
    from tfx_fusion.components.fused import FusedComponents, components_for
    from tfx_fusion.components.fusion_evaluator.component import FusionEvaluator
    from tfx_fusion.components.fusion_trainer.component import FusionTrainer
    from tfx_fusion.components.fusion_worth.component import FusionWorthGen
    from tfx_fusion.components.manifest_example_gen.component import ManifestExampleGen
    from tfx_fusion.components.serving_check.component import ServingCheck
    from tfx_fusion.components.submodel_importer.component import SubmodelImporter
    from tfx_fusion.components.version_pusher.component import VersionPusher
    from tfx_fusion.modules.evaluation.tfma_config import eval_config
    from tfx_fusion.modules.spec.evaluated import EvaluatedOutput, EvaluationView

_PLACES = {
    "ChampionResolver": "champion_resolver.component",
    "DataGate": "data_gate.component",
    "EvaluatedOutput": ".modules.spec.evaluated",
    "EvaluationView": ".modules.spec.evaluated",
    "EmbeddingGen": "embedding_gen.component",
    "FusedComponents": "fused",
    "FusionEvaluator": "fusion_evaluator.component",
    "FusionTrainer": "fusion_trainer.component",
    "FusionWorthGen": "fusion_worth.component",
    "ManifestExampleGen": "manifest_example_gen.component",
    "ServingCheck": "serving_check.component",
    "SubmodelImporter": "submodel_importer.component",
    "VersionPusher": "version_pusher.component",
    "components_for": "fused",
    "eval_config": ".modules.evaluation.tfma_config",
}

__all__ = [
    "ChampionResolver", "DataGate", "EmbeddingGen", "EvaluatedOutput", "EvaluationView",
    "FusedComponents", "FusionEvaluator", "FusionTrainer", "FusionWorthGen", "ManifestExampleGen",
    "ServingCheck", "SubmodelImporter", "VersionPusher", "components_for", "eval_config",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
