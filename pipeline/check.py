"""The checks of a specification that need Keras, on whatever backend it was imported with."""

from __future__ import annotations

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.graph.branches import check_worth
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.graph.unfreeze import check_stages
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.optimizers import new_optimizer
from tfx_fusion.pipeline.prepare import Prepared


def check(prepared: Prepared) -> FusedModel:
    """Joins the graph from interfaces alone, and makes every stage's optimizer.

    Raises SpecificationError where shapes or dtypes clash, a stage trains nothing or names what is
    not there, Keras refuses an optimizer or schedule, or a fusion's worth cannot be measured.
    """
    specification = prepared.specification
    fused = build(specification, prepared.interfaces, open_interface)
    head_trains = any(layer.weights for layers in fused.layers.values() for layer in layers)
    check_stages(specification, prepared.interfaces, fused.taps, head_trains)
    for position, stage in enumerate(specification.training.stages):
        key = f"training.stages.{position}"
        new_optimizer(key, stage, {})
        known = monitored(specification)
        if stage.early_stopping and stage.early_stopping.monitor not in known:
            monitor = stage.early_stopping.monitor
            raise SpecificationError(
                [f"{key}.early_stopping.monitor: nothing is measured as '{monitor}'; "
                 f"{suggestion(monitor, known)}"]
            )  # fmt: skip
    check_worth(specification, prepared.interfaces)
    return fused


def monitored(specification: Specification) -> set[str]:
    """The names under which Keras tells losses and metrics after each epoch."""
    several = len(specification.outputs) > 1
    names = {"loss"}
    for name, output in specification.outputs.items():
        prefix = f"{name}_" if several else ""
        names.update(f"{prefix}{metric}" for metric in output.metrics)
        if several:
            names.add(f"{name}_loss")
    return names | {f"val_{name}" for name in names}
