"""A drawn case: a specification and its sub-models as plain values that print, copy and shrink."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

FLOAT, WHOLE, TEXT = "float32", "int64", "string"
WORDS = ("red", "green", "blue")
CLASSES = ("x", "y", "z")


@dataclass
class Case:
    """One fusion.

    References are a feature's or node's name, `NAME#2` for the third output of a sub-model in the
    order of `keras.tree.flatten`, or `NAME@LAYER` for an inner layer. The product's own names of
    outputs are looked up in what it reports of the file.

    Attributes:
        seed: draws every value and weight.
        features: `{name: {kind, shape, missing}}`, of `text` with its vocabulary and encoding, of
            `number` with how it is normalized.
        submodels: `{name: description}`, which `models.save` turns into a file.
        nodes: the specification's `graph`.
        outputs: the specification's `outputs`, each with its label.
        training: the specification's `training`, with the number of `rows`, and after how many
            epochs one of the trainings is killed (`kill`), to be resumed.
        levels: what is compared beside predictions: `train`, `gradients`, `full`, `serve`.
    """

    seed: int
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    submodels: dict[str, dict[str, Any]] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    levels: list[str] = field(default_factory=list)

    def copy(self) -> Case:
        return copy.deepcopy(self)

    def text(self) -> str:
        """JSON that `Case(**json.loads(text))` reads back."""
        return json.dumps(asdict(self), indent=1)

    def inputs_of(self, name: str) -> list[str]:
        """The references that a sub-model or node takes."""
        if name in self.submodels:
            return [entry["from"] for entry in self.submodels[name]["inputs"].values()]
        given = self.nodes[name]["inputs"]
        return list(given) if isinstance(given, list) else [given]

    def upstream(self, reference: str) -> set[str]:
        """The features that a reference is computed from."""
        name = source(reference)
        if name in self.features:
            return {name}
        return set().union(*(self.upstream(given) for given in self.inputs_of(name)))

    def without_unused(self) -> Case:
        """The same case without what no output is computed from."""
        used: set[str] = set()

        def use(reference: str) -> None:
            name = source(reference)
            if name in used:
                return
            used.add(name)
            if name in self.submodels and "same_as" in self.submodels[name]:
                use(self.submodels[name]["same_as"])
            if name not in self.features:
                for given in self.inputs_of(name):
                    use(given)

        for output in self.outputs.values():
            use(output["from"])
        found = self.copy()
        for part in (found.features, found.submodels, found.nodes):
            for name in [name for name in part if name not in used]:
                del part[name]
        for stage in found.training["stages"]:
            stage["unfreeze"] = {
                n: v for n, v in stage.get("unfreeze", {}).items() if n in found.submodels
            }
        return found

    def kinds(self) -> set[str]:
        """What the case covers, in words that a log can count."""
        found = {f"feature {feature['kind']}" for feature in self.features.values()}
        for feature in self.features.values():
            found |= {f"{feature['kind']} {feature[key]}" for key in ("encoding", "normalize")
                      if key in feature}  # fmt: skip
            if feature.get("missing"):
                found.add(f"missing {feature['kind']}")
                if "full" in self.levels and "unreadable" in feature["missing"]:
                    found.add("missing: unreadable")
        found |= {
            f"missing {feature['missing']['replace']}"
            for feature in self.features.values()
            if feature.get("missing")
        }
        if any((feature.get("missing") or {}).get("drop") for feature in self.features.values()):
            found.add("missing drop")
        for submodel in self.submodels.values():
            if "same_as" in submodel:
                found.add("same_as")
                continue
            found |= {f"form {submodel['form']}", f"outputs {submodel['structure']}"}
            found |= {key for key in ("quantize", "lora", "dict_inputs") if submodel.get(key)}
            if submodel["policy"] != FLOAT:
                found.add(f"sub-model {submodel['policy']}")
            chains = [entry["chain"] for entry in submodel["inputs"].values()]
            for item in (item for chain in (*chains, submodel["tail"]) for item in chain):
                [name] = item
                found.add(f"layer {name}")
            if len(submodel["inputs"]) > 1:
                found.add(f"joined by {submodel['join']}")
        for node in self.nodes.values():
            if "merge" in node:
                found.add(f"merge {node['merge']}")
            for item in node.get("layers", []):
                found.add(f"new {next(iter(item))}")
        for output in self.outputs.values():
            found |= {f"loss {output['loss']}", f"label {output['label']['type']}"}
            found |= {f"metric {metric}" for metric in output["metrics"]}
            found |= {key for key in ("class_weights", "weight", "row_weights") if key in output}
            found |= {key for key in output["label"] if key == "normalize"}
            if output.get("mean", 0.0) > 1e20:
                found.add("label of 1e30")
        found.add(f"precision {self.training['precision']}")
        if len(self.outputs) > 1:
            found.add("several outputs")
        for stage in self.training["stages"]:
            for wanted in stage.get("unfreeze", {}).values():
                found |= {f"unfreeze {key}" for key in wanted}
            if "early_stopping" in stage:
                monitor = stage["early_stopping"]["monitor"]
                found.add(f"early stopping on {'a loss' if 'loss' in monitor else 'a metric'}")
        found |= {key for key in ("kill", "warm_start") if key in self.training}
        if "full" in self.levels:
            found |= {f"{key} by files" for key in ("kill", "warm_start") if key in self.training}
        return found | {f"level {level}" for level in self.levels}


def source(reference: str) -> str:
    """The feature, sub-model or node that a reference starts from."""
    return reference.partition("#")[0].partition("@")[0]


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that other names leave as it is, so that a smaller case has the same values."""
    return np.random.default_rng([seed, *(ord(letter) for name in names for letter in name)])
