"""What fusing costs: a fused model against its parts called one by one, and against plain Keras."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from benchmarks.timing import Timings, interleaved
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

if TYPE_CHECKING:
    import keras

    from benchmarks.shapes import Part, Shape
    from tfx_fusion.modules.graph.build import FusedModel

WARM_UP = 8


@click.command(context_settings=HELP)
@click.option("--rounds", default=150, show_default=True, help="How often each is measured.")
@json_option
def main(rounds: int, file: Path | None) -> None:
    """Measure fused models of three shapes, side by side with what they are made of.

    The forward pass is compared with the sum of the parts called one by one; the training step,
    with the same model composed by hand in plain Keras. Models, batch and settings are the same.
    """
    console = wide_console()
    import_tensorflow_quietly()
    from benchmarks.shapes import all_shapes
    from tfx_fusion.modules.training.train import seed_everything

    seed_everything(7)  # as training does: this makes TensorFlow deterministic and turns XLA off
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in all_shapes(Path(folder)):
            console.print(f"measuring {shape.name}", highlight=False)
            found[shape.name] = measure(shape, rounds)
    figures = {
        "ratio_forward_over_parts": max(f["ratio_forward_over_parts"] for f in found.values()),
        "ratio_train_step_over_keras": max(
            f["ratio_train_step_over_keras"] for f in found.values()
        ),
        "rounds": rounds,
        "shapes": found,
    }
    console.print(
        side_by_side(
            "median milliseconds a batch",
            ("shape", "forward", "its parts", "ratio", "training step", "plain Keras", "ratio"),
            ((name, *measured.values()) for name, measured in found.items()),
        )
    )
    write_figures(file, figures)


def measure(shape: Shape, rounds: int) -> dict[str, float]:
    """The medians in milliseconds of what is compared for one shape, and the ratios."""
    fused = fuse(shape)
    forward = time_forward(shape, fused, rounds)
    names = [part.name for part in shape.parts]
    steps = {"fused": stepping(shape, fused.model), "keras": stepping(shape, compose(shape))}
    step = interleaved(steps, rounds, WARM_UP)
    return {
        "forward_ms": 1e3 * forward.median("fused"),
        "parts_ms": 1e3 * forward.median(*names),
        "ratio_forward_over_parts": forward.ratio("fused", *names),
        "train_step_ms": 1e3 * step.median("fused"),
        "keras_train_step_ms": 1e3 * step.median("keras"),
        "ratio_train_step_over_keras": step.ratio("fused", "keras"),
    }


def fuse(shape: Shape) -> FusedModel:
    """The fused model as the first stage trains it, joined by the project's own code."""
    from tfx_fusion.modules.graph.build import build
    from tfx_fusion.modules.graph.unfreeze import chosen_layers
    from tfx_fusion.modules.submodels.inspection import inspect_submodel
    from tfx_fusion.modules.submodels.layer import SubmodelLayer

    specification = shape.specification
    paths = {name: path for name, (_, path) in specification.imported().items()}
    interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}
    fused = build(
        specification,
        interfaces,
        lambda name, _, taps: SubmodelLayer(paths[name], taps, None, name),
    )
    for name, unfreeze in specification.training.stages[0].unfreeze.items():
        chosen = chosen_layers(name, interfaces[name], fused.taps[name], unfreeze)
        fused.submodels[name].unfreeze(chosen)
    return fused


def compose(shape: Shape) -> keras.Model:
    """The same model by hand: its parts called one after the other in plain Keras."""
    import keras

    tensors = {
        name: keras.Input(values.shape[1:], dtype=values.dtype.name, name=name)
        for name, values in shape.inputs.items()
    }
    inputs = dict(tensors)
    for part in shape.parts:
        tensors[part.name] = called(part, tensors)
    return keras.Model(inputs, {"answer": tensors[shape.parts[-1].name]})


def called(part: Part, values: dict[str, Any]) -> Any:
    taken = [values[name] for name in part.takes]
    return part.model(taken if len(taken) > 1 else taken[0])


def time_forward(shape: Shape, fused: FusedModel, rounds: int) -> Timings:
    """The fused model, and each part on what it is given within the whole."""
    import numpy as np
    import tensorflow as tf

    inputs = {name: tf.constant(values) for name, values in shape.inputs.items()}
    values: dict[str, Any] = dict(inputs)
    variants = {}

    def waiting(function: Callable[..., Any], *arguments: Any) -> Callable[[], object]:
        traced = tf.function(function, autograph=False)
        return lambda: np.asarray(traced(*arguments))

    for part in shape.parts:
        taken = {name: values[name] for name in part.takes}
        variants[part.name] = waiting(lambda given, part=part: called(part, given), taken)
        values[part.name] = tf.constant(variants[part.name]())
    variants["fused"] = waiting(lambda given: fused.model(given, training=False)["answer"], inputs)
    return interleaved(variants, rounds, WARM_UP)


def stepping(shape: Shape, model: keras.Model) -> Callable[[], object]:
    """A training step as `fit` takes it, on a batch that lies in memory."""
    import tensorflow as tf

    from tfx_fusion.modules.training.losses import compile_arguments
    from tfx_fusion.modules.training.optimizers import new_optimizer

    optimizer = new_optimizer("", shape.specification.training.stages[0], {})
    model.compile(optimizer=optimizer, **compile_arguments(shape.specification))
    batches = tf.data.Dataset.from_tensors((shape.inputs, {"answer": shape.labels})).repeat()
    model.fit(batches, steps_per_epoch=1, verbose=0)  # makes the function of a step
    endless = iter(batches)
    return lambda: float(model.train_function(endless)["loss"])


if __name__ == "__main__":
    main()
