"""Valid specifications with their models, and ways to damage them, for `fuzz_validate`."""

from __future__ import annotations

import copy
import json
import random
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

WIDE = """
name: wide
data:
  path: rows.csv
  split: {by: id, train: 0.8, eval: 0.2}
  max_rejected: 0.02
  checks: {drift: {age: 0.1}}
features:
  image: {type: image, column: image, shape: [8, 8, 3], range: [0, 1]}
  words: {type: text, column: said, vocabulary: words.txt, encoding: ids, length: 4}
  bag: {type: text, column: said, vocabulary: words.txt, encoding: multi_hot}
  age: {type: number, columns: [age, size], normalize: standard,
    missing: {replace: mean, drop: 0.1}}
  city: {type: category, column: city, classes: [oslo, bergen]}
  steps: {type: sequence, column: steps, shape: [5, 2], variable: true, missing: allowed}
  plain: {type: raw, column: age, dtype: float32, shape: [4]}
labels:
  kind: {type: category, column: kind, classes: [x, y, z]}
  tags: {type: multi_label, column: tags, classes: [far, even], separator: "|"}
  total: {type: number, column: age}
submodels:
  vision: {path: vision.keras, inputs: {image: image}, output: features, licence: MIT}
  ear: {path: ear.keras, inputs: {steps: steps}}
  plain_net: {path: plain_net, inputs: {v: plain}, signature: serving_default}
graph:
  tokens: {layers: [Embedding: {input_dim: 9, output_dim: 3, mask_zero: true},
    LSTM: {units: 2}], inputs: words}
  joined: {merge: concatenate, inputs: [vision, tokens, bag, age, city, ear, plain_net]}
  hidden: {layers: [Dense: {units: 6, activation: relu}, BatchNormalization,
    Dropout: {rate: 0.3}], inputs: joined}
  kind: {layers: [Dense: {units: 3}], inputs: hidden}
  tags: {layers: [Dense: {units: 2}], inputs: hidden}
  total: {layers: [Dense: {units: 1}], inputs: hidden}
outputs:
  kind: {from: kind, loss: categorical_crossentropy, metrics: [accuracy], class_weights: {x: 2.0}}
  tags: {from: tags, loss: binary_crossentropy, metrics: [auc], weight: 0.5}
  total: {from: total, loss: huber, metrics: [mean_absolute_error]}
training:
  batch_size: 7
  seed: 3
  stages:
    - {name: head, epochs: 2, learning_rate: 0.01, early_stopping: {patience: 2}}
    - {name: fine, epochs: 1, learning_rate: 0.1, optimizer: AdamW, unfreeze: {vision: {last: 1}}}
evaluation:
  thresholds: {kind: {accuracy: {min: 0.5}}}
  slices: [city]
publish: {path: serving, keep: 3}
serving: {rows: 8, max_p99_ms: 500}
"""
SMALL = """
name: small
data: {path: rows.csv, split: {column: split}}
features: {a: {type: raw, column: a, dtype: float32, shape: [6, 2]}, b: {type: number, column: b}}
labels: {y: {type: category, column: y, classes: [low, high]}}
submodels:
  ear: {path: ear.keras, inputs: {steps: a}}
  twin: {same_as: ear, inputs: {steps: a}}
graph:
  both: {merge: add, inputs: [ear, twin]}
  all: {merge: attention, inputs: [both, more]}
  more: {layers: [Dense: {units: 4}], inputs: b}
  y: {layers: [Dense: {units: 1}], inputs: all}
outputs: {y: {from: y, loss: binary_crossentropy, metrics: [auc, precision]}}
training:
  precision: mixed_float16
  stages: [{name: s, epochs: 1, learning_rate: 0.1}]
evaluation: {thresholds: {y: {auc: {min: 0.5}}}, worth: {}}
publish: {path: serving}
"""
MAKE = """
import keras, sys
from keras import layers as L
folder = sys.argv[1]
keras.utils.set_random_seed(1)
image = keras.Input((8, 8, 3), name="image")
features = L.Dense(4, activation="relu", name="features")(L.Flatten()(L.Conv2D(2, 3)(image)))
keras.Model(image, [features, L.Dense(2, name="scores")(features)]).save(f"{folder}/vision.keras")
steps = keras.Input((None, 2), name="steps")
keras.Model(steps, L.LSTM(4, name="read")(L.BatchNormalization()(steps))).save(
    f"{folder}/ear.keras")
v = keras.Input((4,), name="v")
keras.Model(v, L.Dense(3)(v)).export(f"{folder}/plain_net", verbose=False)
"""

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.5, -1e308, 1e-320, "", " ",
    "0", "null", "\u202eabc", "naïve 日本 🙂", "a" * 5000, "a.b", "a/b", "../..", "/", "/dev/null",
    "\0", "%s{0}{{", "[red]x[/]", "~", [], {}, [[]], {"": ""}, {1: 2}, [None], ["x"] * 300,
    {"type": "image"}, {"path": "vision.keras"}, "x: y", "row_id", "steps_length", "nan",
    float("nan"),
    float("inf"), "vision.nothing", "vision.", ".vision", "vision.scores",
)  # fmt: skip


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a tree but the root."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(
        tree, list) else ()  # fmt: skip
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def change(draw: random.Random, tree: Any) -> None:
    """Changes one place of a tree."""
    *above, key = draw.choice(list(places(tree)))
    node = at(tree, tuple(above))
    kind = draw.randrange(9)
    if kind == 0:
        del node[key]
    elif kind == 1:
        node[key] = copy.deepcopy(draw.choice(ODD))
    elif kind == 2:  # the value of another place
        node[key] = copy.deepcopy(at(tree, draw.choice(list(places(tree)))))
    elif kind == 3 and isinstance(node, dict):  # another name
        names = [f"{key}x", str(key)[:-1], str(key).upper(), *ODD[:20], "vision", "row_id", "type"]
        node[draw.choice(names)] = node.pop(key)
    elif kind == 4 and isinstance(node, list):
        node.extend(copy.deepcopy(node) * draw.randrange(1, 4))
    elif kind == 5 and isinstance(node[key], int | float) and not isinstance(node[key], bool):
        with suppress(OverflowError):  # a large whole number times a fraction
            node[key] = node[key] * draw.choice([-1, 0, 1000, 1e9, 10**12, 0.1])
    elif kind == 6:  # deep
        for _ in range(draw.choice([3, 40, 100])):
            node[key] = {"layers": node[key]} if draw.random() < 0.5 else [node[key]]
    elif kind == 7 and isinstance(node[key], str):
        names = [str(step) for path in places(tree) for step in path[-1:]]
        node[key] = draw.choice(names)
    elif isinstance(node, dict):
        node[draw.choice(["extra", "inputs", "missing", "config", "layers", "type"])] = (
            copy.deepcopy(draw.choice(ODD))
        )


BOMB = "".join(
    [f"a0: &a0 [{', '.join(['x'] * 10)}]\n"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)]
)


def change_text(draw: random.Random, text: str) -> str:
    """Changes a specification as text, so that it may be no YAML any more."""
    kind = draw.randrange(10)
    place = draw.randrange(len(text))
    lines = text.splitlines(keepends=True)
    line = draw.randrange(len(lines))
    if kind == 0:
        return text[:place]
    if kind == 1:
        return (
            text[:place] + draw.choice("{}[]:,'\"&*!|>%@`#-?\t\0\x85\ufeff\u2028é🙂") + text[place:]
        )
    if kind == 2:
        return text[:place] + text[place + draw.randrange(1, 20) :]
    if kind == 3:
        return "".join([*lines[:line], lines[draw.randrange(len(lines))], *lines[line:]])
    if kind == 4:
        starts = ["name: &n", "name: *n", "<<: *n\nname:", "!!python/object:os.system", "? name\n:"]
        return text.replace("name:", draw.choice(starts), 1)
    if kind == 5:
        bombed = BOMB + text.replace("publish: {path: serving", "publish: {path: *a11", 1)
        return draw.choice([BOMB + text, bombed, text.replace("vision, tokens", "*a11", 1)])
    if kind == 6:
        depth = draw.choice([50, 500, 5000])
        return text + f"card: {'[' * depth}{']' * depth}\n"
    if kind == 7:
        inside = text.replace("publish:", "graph: &a {g: *a}\npublish:")
        return draw.choice(["&a [*a]", "&a {a: *a}", inside, f"&a {inside}"])
    if kind == 8:
        starts = ["", "---\n", "[]", "x", "--- 1\n--- 2\n", "%YAML 9.9\n---\n", "\ufeff"]
        return draw.choice(
            [draw.choice(starts), draw.choice(starts) + text, f"{text}\n---\n{text}"]
        )
    return "".join(draw.sample(lines, len(lines)))


def damaged(draw: random.Random) -> bytes:
    """A damaged specification."""
    text = draw.choice([WIDE, WIDE, SMALL])
    if draw.random() < 0.3:
        for _ in range(draw.choice([1, 1, 2])):
            text = change_text(draw, text) or " "
        content = text.encode("utf-8", "surrogatepass")
        if draw.random() < 0.1:
            spoilt = bytearray(content)
            spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
            content = bytes(spoilt)
        return content
    tree = yaml.safe_load(text)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 6])):
        if tree:
            change(draw, tree)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000).encode(
        "utf-8", "surrogatepass"
    )


def spoil(draw: random.Random, content: bytes) -> bytes:
    """Bytes with some lost, changed or repeated."""
    kind, spoilt = draw.randrange(5), bytearray(content)
    if kind == 0 or not spoilt:
        return bytes(spoilt[: draw.randrange(len(spoilt) + 1)])
    if kind == 1:
        start = draw.randrange(len(spoilt))
        spoilt[start : start + draw.randrange(1, 64)] = b"\0" * draw.randrange(64)
        return bytes(spoilt)
    for _ in range(draw.choice([1, 1, 4, 40])):
        spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
    return bytes(spoilt)


def damage_keras(draw: random.Random, path: Path) -> None:
    """Damages a .keras file: the archive, or what is in it."""
    kind = draw.randrange(6)
    if kind == 0:
        path.write_bytes(spoil(draw, path.read_bytes()))
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(list(members))
    if kind == 1:
        del members[name]
    elif kind == 2:
        members[name] = spoil(draw, members[name])
    elif kind == 3:
        members["model.weights.h5"] = spoil(draw, members["model.weights.h5"])
    else:
        config = json.loads(members["config.json"])
        for _ in range(draw.choice([1, 1, 2, 5])):
            if config:
                change(draw, config)
        try:
            members["config.json"] = json.dumps(config).encode("utf-8", "replace")
        except (TypeError, ValueError):
            members["config.json"] = b"{}"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def damage_saved_model(draw: random.Random, path: Path) -> None:
    """Damages a SavedModel: its graph or its variables."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    file = draw.choice([path / "saved_model.pb", *files])
    if draw.random() < 0.15:
        file.unlink()
    else:
        file.write_bytes(spoil(draw, file.read_bytes()))
