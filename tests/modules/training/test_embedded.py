"""A head that learns from embeddings learns what it would learn from raw data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import check_parity, exported_weights, train

from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.training.checkpoint import Checkpoint

pytestmark = pytest.mark.component
STAGE = "    - {name: head, epochs: 3, learning_rate: 1e-2}\n"
FINE = "    - {name: fine, epochs: 2, learning_rate: 1e-3, unfreeze: {vision: %s}}\n"


def changed(world: Path, *changes: tuple[str, str]) -> Specification:
    file = world / "fusion.yaml"
    text = file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    file.write_text(text)
    return load_specification(file)


def test_with_dropout_in_the_head_all_losses_and_weights_are_those_on_raw_data(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    specification = changed(
        world,
        ("[Dense: {units: 8, activation: relu}]", "[Dense: {units: 8}, Dropout: {rate: 0.5}]"),
        ("metrics: [accuracy]}", "metrics: [accuracy], class_weights: balanced}"),
    )
    history, stages = check_parity(specification, shared_training_inputs, tmp_path, embed)
    assert [str(stage) for stage in stages] == ["embeddings of vision.features, text.features"]
    assert history.stages[0].learns_from == stages[0].learns_from


def test_a_stage_after_one_that_trained_a_sub_model_learns_from_what_is_still_as_imported(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    specification = changed(
        world,
        (
            STAGE,
            "    - {name: head, epochs: 2, learning_rate: 1e-2}\n"
            "    - {name: fine, epochs: 2, learning_rate: 1e-3, unfreeze: {vision: {last: 1}}}\n"
            "    - {name: again, epochs: 1, learning_rate: 1e-3}\n",
        ),
    )
    history, stages = check_parity(specification, shared_training_inputs, tmp_path, embed)

    assert [stage.plan and stage.plan.embeddings for stage in stages] == [
        ("vision.features", "text.features"),
        ("vision.drop", "text.features"),
        ("vision.drop", "text.features"),  # frozen again, but no longer what was imported
    ]
    assert [len(stage.epochs) for stage in history.stages] == [2, 2, 1]


def test_an_activity_loss_inside_a_frozen_sub_model_is_part_of_neither_loss(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    path = world / "models" / "vision.keras"
    image = keras.Input((8, 8, 3), name="image")
    tensor = keras.layers.Flatten()(image)
    tensor = keras.layers.Dense(5, activity_regularizer="l2", name="below")(tensor)
    tensor = keras.layers.Dense(6, activity_regularizer="l2", name="features")(tensor)
    keras.Model(image, tensor, name="vision").save(path)
    specification = changed(world, (STAGE, f"{STAGE}{FINE % '{last: 1}'}"))

    _, stages = check_parity(specification, shared_training_inputs, tmp_path, embed)
    assert [stage.live for stage in stages] == [(), ("vision",)]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_layers_embedded_in_half_precision_give_what_they_give_on_raw_data(
    precision: str,
    world: Path,
    shared_training_inputs: Any,
    tmp_path: Path,
    embed: Callable[..., Any],
) -> None:
    specification = changed(
        world,
        ("inputs: {image: image}, output: features}", "inputs: {image: image}, output: norm}"),
        ("[vision, text]", "[pooled, text]"),
        ("  joined:", "  pooled: {layers: [GlobalAveragePooling2D], inputs: vision}\n  joined:"),
        ("  seed: 7\n", f"  seed: 7\n  precision: {precision}\n"),
    )
    _, [stage] = check_parity(specification, shared_training_inputs, tmp_path, embed)

    assert stage.plan is not None
    assert stage.plan.embeddings == ("pooled", "text.features")
    assert stage.plan.precision == precision


class Several(tf.Module):
    """Gives its text as numbers of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((6, 4), (1, 2)))

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32, name="tokens")])
    def serve(self, tokens: Any) -> dict[str, Any]:
        mixed = tf.matmul(tokens, self.kernel)
        return {
            "kinds/half": tf.cast(mixed, tf.float16),
            "double": tf.cast(mixed, tf.float64),
            "brain": tf.cast(mixed, tf.bfloat16),
            "place": tf.argmax(mixed, axis=1, output_type=tf.int32),
            "word": tf.gather(tf.constant(["low", "high"]), tf.cast(mixed[:, 0] > 0, tf.int32)),
        }


def test_a_saved_models_numbers_and_words_of_every_kind_train_alike(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    module = Several()
    tf.saved_model.save(module, str(world / "models" / "several"), signatures=module.serve)
    specification = changed(
        world,
        ("{path: models/text, inputs: {tokens: words}, output: features}",
         "{path: models/several, inputs: {tokens: words}}"),
        ("[vision, text]", "[vision, text.kinds/half, text.double, text.brain, placed, worded]"),
        ("  joined:",
         "  placed: {layers: [Embedding: {input_dim: 4, output_dim: 2}], inputs: text.place}\n"
         "  worded: {layers: [StringLookup: {vocabulary: [low, high]}, "
         "Embedding: {input_dim: 3, output_dim: 2}], inputs: text.word}\n  joined:"),
    )  # fmt: skip
    _, [stage] = check_parity(specification, shared_training_inputs, tmp_path, embed)

    assert stage.plan is not None
    assert len(stage.plan.embeddings) == 6


def test_an_output_straight_on_a_frozen_sub_model_is_measured_alike(
    world: Path, shared_training_inputs: Any, tmp_path: Path, embed: Callable[..., Any]
) -> None:
    output = "  colour: {from: scores, loss: categorical_crossentropy, metrics: [accuracy]}\n"
    specification = changed(
        world,
        (output, output + output.replace("colour:", "alone:").replace(
            "from: scores", "label: colour, from: vision.probabilities")),
    )  # fmt: skip
    history, _ = check_parity(specification, shared_training_inputs, tmp_path, embed)

    losses = [epoch["val_alone_loss"] for epoch in history.stages[0].epochs]
    assert losses == pytest.approx([losses[0]] * 3)


def test_training_that_is_killed_on_embeddings_ends_as_if_it_had_not_been(
    world: Path,
    shared_training_inputs: Any,
    tmp_path: Path,
    embed: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specification = changed(
        world,
        ("[Dense: {units: 8, activation: relu}]", "[Dense: {units: 8}, Dropout: {rate: 0.5}]"),
        (STAGE, STAGE.replace("1e-2}", "1e-2, early_stopping: {patience: 5}}")),
    )
    unbroken, _ = train(specification, shared_training_inputs, tmp_path / "whole", embed)

    class Killed(BaseException):
        pass

    save = Checkpoint.save

    def save_and_die(self: Checkpoint, state: Any) -> None:
        save(self, state)
        if state.epoch == 2:
            raise Killed

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        train(specification, shared_training_inputs, tmp_path / "broken", embed)
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed, _ = train(specification, shared_training_inputs, tmp_path / "broken", embed)

    assert resumed.stages[0].epochs == unbroken.stages[0].epochs
    weights = exported_weights(tmp_path / "whole")
    for one, other in zip(weights, exported_weights(tmp_path / "broken"), strict=True):
        np.testing.assert_array_equal(one, other)


# ------------------------------------------------- every kind of feature, straight and embedded

EVERYTHING = """\
name: everything
data: {path: rows.csv, split: {by: id, train: 0.7, eval: 0.3}}
features:
  image: {type: image, column: image, shape: [8, 8, 3]}
  ids: {type: text, column: said, vocabulary: words.txt, encoding: ids, length: 4}
  words: {type: text, column: said, vocabulary: words.txt, encoding: multi_hot}
  said: {type: text, column: said, encoding: string}
  age: {type: number, column: age, normalize: standard}
  city: {type: category, column: city, classes: [oslo, bergen]}
  place: {type: category, column: city, classes: [oslo, bergen], encoding: index}
  sound: {type: sequence, column: sound, shape: [5, 2], variable: true, padding: -1.0}
  steps: {type: sequence, column: steps, shape: [3, 2]}
  plain: {type: raw, column: age, dtype: float32}
labels:
  kind: {type: category, column: kind, classes: [x, y]}
  tags: {type: multi_label, column: tags, classes: [far, even]}
  total: {type: number, column: age}
submodels:
  vision: {path: vision.keras, inputs: {image: image}}
  ear: {path: ear.keras, inputs: {steps: sound}}
graph:
  tokens: {layers: [Embedding: {input_dim: 5, output_dim: 3, mask_zero: true},
    SimpleRNN: {units: 2}], inputs: ids}
  phrase: {layers: [StringLookup: {vocabulary: [very red]}, Embedding: {input_dim: 3,
    output_dim: 2}], inputs: said}
  where: {layers: [Embedding: {input_dim: 2, output_dim: 2}], inputs: place}
  heard: {layers: [SimpleRNN: {units: 3}], inputs: ear}
  raw_heard: {layers: [SimpleRNN: {units: 2}], inputs: sound}
  moved: {layers: [Flatten], inputs: steps}
  single: {layers: [Reshape: {target_shape: [1]}], inputs: plain}
  joined: {merge: concatenate, inputs: [vision, tokens, words, phrase, age, city, where, heard,
    raw_heard, moved, single]}
  # No bias: it would have no gradient, and Adam would step by what rounding leaves of that.
  hidden: {layers: [Dense: {units: 6, use_bias: false}, BatchNormalization,
    Dropout: {rate: 0.3}], inputs: joined}
  kind: {layers: [Dense: {units: 2}], inputs: hidden}
  tags: {layers: [Dense: {units: 2}], inputs: hidden}
  total: {layers: [Dense: {units: 1}], inputs: hidden}
outputs:
  kind: {from: kind, loss: categorical_crossentropy, metrics: [accuracy], class_weights: {x: 2.0}}
  tags: {from: tags, loss: binary_crossentropy, metrics: [auc]}
  total: {from: total, loss: huber, metrics: [mean_absolute_error]}
training:
  batch_size: 7
  seed: 3
  stages:
    - {name: head, epochs: 2, learning_rate: 1e-2}
publish: {path: serving}
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Specification:
    """Rows with every kind of feature, some of them fed to two frozen sub-models."""
    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("everything")
    image = keras.Input((8, 8, 3), name="image")
    keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image))).save(
        folder / "vision.keras"
    )
    steps = keras.Input((None, 2), name="steps")
    read = keras.layers.SimpleRNN(4, return_sequences=True, name="read")(steps)
    keras.Model(steps, read).save(folder / "ear.keras")
    (folder / "words.txt").write_text("\n[UNK]\nred\nvery\nrather\n")
    random = np.random.default_rng(2)
    lines = ["id,image,said,age,city,sound,steps,kind,tags"]
    for row in range(45):
        pixels = random.integers(0, 255, (8, 8, 3)).astype("uint8")
        (folder / f"{row}.png").write_bytes(tf.io.encode_png(pixels).numpy())
        np.save(folder / f"sound{row}.npy", random.normal(size=(1 + row % 5, 2)).astype("f4"))
        np.save(folder / f"steps{row}.npy", random.normal(size=(3, 2)).astype("f4"))
        said = ["very red", "rather blue", "red", ""][row % 4]
        city, kind = random.choice(["oslo", "bergen"]), random.choice(["x", "y"])
        tags = ";".join(tag for tag in ("far", "even") if random.random() < 0.5)
        lines.append(
            f"{row},{row}.png,{said},{random.normal():.4f},{city},sound{row}.npy,steps{row}.npy,"
            f"{kind},{tags}"
        )
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "fusion.yaml").write_text(EVERYTHING)
    return load_specification(folder / "fusion.yaml")


def test_features_and_labels_of_every_kind_train_alike(
    everything: Specification,
    prepare_training: Callable[[Specification], Any],
    tmp_path: Path,
    embed: Callable[..., Any],
) -> None:
    _, [stage] = check_parity(everything, prepare_training(everything), tmp_path, embed)

    assert stage.plan is not None
    assert stage.plan.embeddings == ("vision.dense", "ear.read")
    assert set(stage.plan.passed) == {*everything.features, "sound_length"} - {"image"}


REST = "; the rest of vision computed in every epoch"


@pytest.mark.parametrize(
    ("unfreeze", "why"),
    [
        ("{last: 1}", f"embeddings of vision.drop, text.features{REST}"),
        ("{last: 1, training_mode: true}", f"embeddings of vision.drop, text.features{REST}"),
        ("{layers: [norm]}", f"embeddings of vision.conv, text.features{REST}"),
        (
            "{layers: [norm], training_mode: true}",
            f"embeddings of vision.conv, text.features{REST}",
        ),
        (
            "all",
            "embeddings of text.features; vision computed in every epoch; image decoded on the fly",
        ),
    ],
)
def test_a_stage_that_unfreezes_the_last_layers_learns_from_the_layers_before_them(
    unfreeze: str,
    why: str,
    world: Path,
    shared_training_inputs: Any,
    tmp_path: Path,
    embed: Callable[..., Any],
) -> None:
    specification = changed(world, (STAGE, STAGE + FINE % unfreeze))
    history, stages = check_parity(specification, shared_training_inputs, tmp_path, embed)
    assert [str(stage) for stage in stages] == ["embeddings of vision.features, text.features", why]
    assert len(history.stages) == 2
