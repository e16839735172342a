"""Fuses pretrained models into one, trains, checks and serves it with TFX.

    import tfx_fusion

    checked = tfx_fusion.validate("fusion.yaml")   # the graph with its shapes, or every problem
    run = tfx_fusion.run("fusion.yaml")            # trains, evaluates and publishes
    model = tfx_fusion.open(run.published)         # predictions, versions, lineage

`tfx_fusion.spec` has the types to build a specification in Python, `tfx_fusion.components` the TFX
components. Nothing is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfx_fusion import components
    from tfx_fusion.modules import spec
    from tfx_fusion.modules.errors import RunError, SpecificationError, UserError
    from tfx_fusion.modules.spec import Specification
    from tfx_fusion.pipeline.api import load, open, run, runs, validate
    from tfx_fusion.pipeline.check import Checked
    from tfx_fusion.pipeline.published import Published
    from tfx_fusion.pipeline.runs import Run

__all__ = [
    "Checked", "Published", "Run", "RunError", "Specification", "SpecificationError", "UserError",
    "components", "load", "open", "run", "runs", "spec", "validate",
]  # fmt: skip

_MODULES = {"components": "components", "spec": "modules.spec"}
_PLACES = {
    **dict.fromkeys(("load", "open", "run", "runs", "validate"), "pipeline.api"),
    **dict.fromkeys(("RunError", "SpecificationError", "UserError"), "modules.errors"),
    "Checked": "pipeline.check",
    "Published": "pipeline.published",
    "Run": "pipeline.runs",
    "Specification": "modules.spec",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"tfx_fusion.{_MODULES[name]}")
    if name not in _PLACES:
        raise AttributeError(f"module 'tfx_fusion' has no attribute '{name}'")
    return getattr(import_module(f"tfx_fusion.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
