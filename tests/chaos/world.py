"""A small world that goes through every step: numbers, one sub-model, one output."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROWS = 64
ROWS_FILE, TOWER_FILE = "data/rows.csv", "data/tower.keras"
STEPS = (
    "Champion", "Import-tower", "Rows", "Statistics", "Transform", "DataChecks", "DataGate",
    "Embed", "Train", "Evaluate", "ServingCheck", "Publish",
)  # fmt: skip  # in the order in which they run
SPECIFICATION = """\
name: small
data: {path: data/rows.csv, split: {by: id, train: 0.7, eval: 0.3}}
features:
  numbers: {type: number, columns: [a, b], normalize: standard}
labels:
  total: {type: number, column: total}
submodels:
  tower: {path: data/tower.keras, inputs: {numbers: numbers}}
graph:
  total: {layers: [Dense: {units: 1}], inputs: tower}
outputs:
  total: {from: total, loss: mean_squared_error, metrics: [mean_absolute_error]}
training:
  seed: 5
  stages: [{name: head, epochs: 4, learning_rate: 1e-2}]
evaluation:
  thresholds: {total: {mean_absolute_error: {max: 1000}}}
serving: {rows: 4}
publish: {path: serving}
"""


def make_world(folder: Path) -> None:
    """Writes `fusion.yaml` and what it names; it imports Keras."""
    import keras

    (folder / ROWS_FILE).parent.mkdir(parents=True)
    random = np.random.default_rng(1)
    values = random.normal(3, 2, (ROWS, 2)).round(3)
    lines = [f"{number},{a},{b},{2 * a + b:.3f}\n" for number, (a, b) in enumerate(values)]
    (folder / ROWS_FILE).write_text("id,a,b,total\n" + "".join(lines))
    keras.utils.set_random_seed(2)
    numbers = keras.Input((2,), name="numbers")
    tower = keras.Model(numbers, keras.layers.Dense(3, activation="tanh")(numbers))
    tower.save(folder / TOWER_FILE)
    (folder / "fusion.yaml").write_text(SPECIFICATION)
    _inspect(folder / "fusion.yaml")


def _inspect(file: Path) -> None:
    """Inspects the sub-model in this process: one of its own would import TensorFlow again."""
    from tfx_fusion.modules.spec import load_specification
    from tfx_fusion.modules.submodels import inspection_cache
    from tfx_fusion.modules.submodels.inspection import inspect_submodel
    from tfx_fusion.pipeline.prepare import Workplace

    def read(submodels: dict) -> dict[str, dict]:
        found = {name: inspect_submodel(path) for name, (_, path) in submodels.items()}
        return {name: {"inspection": one.model_dump(mode="json")} for name, one in found.items()}

    inspection_cache._read_in_process = read
    cache = inspection_cache.InspectionCache(Workplace.of(file).known_submodels)
    cache.inspect(load_specification(file), print)
