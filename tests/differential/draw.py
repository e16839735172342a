"""Draws a case by its seed."""

from __future__ import annotations

from typing import Any

from tests.differential.case import CLASSES, FLOAT, TEXT, WHOLE, Case, generator
from tests.differential.draw_graph import GraphDraw
from tests.differential.draw_layers import Item, Tensor
from tests.differential.draw_rows import draw_more_features
from tests.differential.draw_training import draw_more_training, has_weights
from tests.differential.labels import draw_more

# Every so many seeds train, and every so many of these have their gradients compared, go through
# files and export, and through servers.
TRAIN_EVERY, GRADIENTS_EVERY, FULL_EVERY, SERVE_EVERY = 6, 18, 30, 60


class _Draw(GraphDraw):
    def features(self) -> None:
        for position in range(self.one(1, 2, 2, 3)):
            kind = self.one("vector", "vector", "ids", "variable", "variable", "sequence",
                            "image", "words", "raw_image")  # fmt: skip
            steps, width = self.one(3, 4, 5), self.one(2, 3, 4)
            shape = {
                "vector": (self.one(2, 3, 4),), "ids": (steps,), "variable": (steps, width),
                "sequence": (steps, width), "image": (6, 6, self.one(1, 3)), "words": (steps,),
                "raw_image": (6, 6, 2),
            }[kind]  # fmt: skip
            name = f"f{position}"
            feature: dict[str, Any] = {"kind": kind, "shape": list(shape)}
            if kind in ("vector", "image", "variable", "sequence") and self.chance(0.2):
                feature["missing"] = {"replace": self.one("learned", "zeros", "mean")}
            if kind == "variable" and self.chance(0.15):
                feature["zero_step"] = True
            self.case.features[name] = feature
            dtype = {"ids": WHOLE, "words": TEXT}.get(kind, FLOAT)
            plain = {"variable": "sequence", "raw_image": "image"}.get(kind, kind)
            self.pool.append(Tensor(name, plain, shape, dtype))

    def outputs(self, joined: Tensor, train: bool) -> None:
        for position in range(self.one(1, 1, 2, 3)):
            hidden: list[Item] = []
            if self.chance(0.4):
                hidden = [{"Dense": {"units": 3, "activation": "tanh"}}]
                if self.chance(0.5):
                    hidden.append(
                        self.one({"BatchNormalization": {}}, {"LayerNormalization": {}})
                        if train else {"Dropout": {"rate": 0.5}}
                    )  # fmt: skip
            loss, label, units = self.one(
                ("categorical_crossentropy", "category", 3),
                ("binary_crossentropy", "category", 1),
                ("binary_crossentropy", "multi_label", 3),
                ("mean_squared_error", "number", 1),
                ("mean_absolute_error", "number", 1),
                ("huber", "number", 1),
            )
            metrics = {
                "categorical_crossentropy": ["accuracy", "top_3_accuracy"],
                "binary_crossentropy": ["accuracy", "auc", "precision", "recall"],
            }.get(loss, ["mean_squared_error", "mean_absolute_error", "root_mean_squared_error"])
            output: dict[str, Any] = {
                "loss": loss,
                "label": {"type": label},
                "metrics": [metric for metric in metrics if self.chance(0.5)],
            }
            if label != "number":
                classes = 2 if (loss, label) == ("binary_crossentropy", "category") else 3
                output["label"]["classes"] = list(CLASSES[:classes])
            if self.chance(0.3):
                output["weight"] = 0.5
            if label == "category" and self.chance(0.4):
                output["class_weights"] = self.one({"x": 2.0, "y": 0.5}, "balanced")
            last: dict[str, Any] = {"units": units}
            if loss == "binary_crossentropy" and self.chance(0.3):
                last["activation"] = "sigmoid"
            end = self.layers(joined, [*hidden, {"Dense": last}], (units,))
            output["from"] = end.reference
            draw_more(output, generator(self.case.seed, "more", str(position)))
            if output["loss"] == "poisson":
                last["activation"] = "softplus"  # of numbers above 0
            self.case.outputs[f"o{position}"] = output

    def training(self) -> None:
        stage: dict[str, Any] = {"name": "head", "epochs": 2, "learning_rate": 0.05,
                                 "optimizer": {"SGD": {"momentum": 0.5}}}  # fmt: skip
        if self.chance(0.2):
            stage["clip_norm"] = 1.0
        if self.chance(0.2):
            stage["optimizer"] = {"Adam": {"epsilon": 0.01}}
            stage["learning_rate"] = 0.01
        stages = [stage]
        whole = [
            name for name, found in self.case.submodels.items()
            if found.get("form") in ("functional", "sequential", "nested", "keras2", "module")
            and not found.get("quantize") and not found.get("lora") and found["policy"] == FLOAT
            and has_weights(found)
        ]  # fmt: skip
        if whole and self.chance(0.6):
            stages.append({
                "name": "fine", "epochs": 1, "learning_rate": 0.02, "optimizer": {"SGD": {}},
                "unfreeze": {self.one(*whole): {"all": True}},
            })  # fmt: skip
        self.case.training = {
            "batch_size": self.one(5, 7, 8), "seed": self.case.seed % 1000, "rows": 30,
            "precision": self.one(*[FLOAT] * 4, "mixed_bfloat16", "mixed_float16"),
            "stages": stages,
        }  # fmt: skip

    def drawn(self) -> Case:
        seed = self.case.seed
        train = seed % TRAIN_EVERY == 0
        self.features()
        for _ in range(self.one(1, 1, 2, 2, 3)):
            self.submodel()
        self.outputs(self.joined(), train)
        self.training()
        levels = self.case.levels
        if train:
            levels.append("train")
        if seed % GRADIENTS_EVERY == 0:
            levels.append("gradients")
        if seed % FULL_EVERY == 0:
            levels.append("full")
        if seed % SERVE_EVERY == 0:
            levels.append("serve")
        case = self.case.without_unused()
        draw_more_features(case)
        if train:
            draw_more_training(case)
        return case


def draw(seed: int) -> Case:
    """The case of a seed."""
    return _Draw(seed).drawn()
