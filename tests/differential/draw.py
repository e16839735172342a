"""Draws a case by its seed."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.differential.case import CLASSES, FLOAT, TEXT, WHOLE, Case, generator
from tests.differential.labels import draw_more
from tests.differential.models import VOCABULARY

Item = dict[str, dict[str, Any]]
# Every so many seeds train, and every so many of these go through files, export and servers.
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
TRAIN_EVERY, FULL_EVERY, SERVE_EVERY = 6, 30, 60


class Tensor(NamedTuple):
    """What a reference gives: `kind` is vector, sequence, ids, image or words."""

    reference: str
    kind: str
    shape: tuple[int, ...]
    dtype: str = FLOAT


class _Draw:
    def __init__(self, seed: int) -> None:
        self.random = generator(seed, "case")
        self.case = Case(seed)
        self.pool: list[Tensor] = []
        self.used: set[str] = set()
        self.own = "OwnA"
        self.layers_only = False

    # ---------------------------------------------------------------------------- small helpers

    def one(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def take(self, *kinds: str) -> Tensor | None:
        """A tensor of the pool, rather one that nothing takes yet."""
        fitting = [tensor for tensor in self.pool if tensor.kind in kinds]
        fresh = [tensor for tensor in fitting if tensor.reference not in self.used]
        if not fitting:
            return None
        picked = self.one(*(fresh or fitting))
        self.used.add(picked.reference)
        return picked

    # --------------------------------------------------------------------------------- features

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

    # ------------------------------------------------------------------------------- sub-models

    def to_sequence(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from steps to steps."""
        steps, width = shape
        units = self.one(2, 3, 4)
        changed = {
            "LSTM": {"LSTM": {"units": units, "return_sequences": True}},
            "GRU": {"GRU": {"units": units, "return_sequences": True}},
            "Bidirectional": {
                "Bidirectional": {"layer": {"LSTM": {"units": 2, "return_sequences": True}}}
            },
            "TimeDistributed": {"TimeDistributed": {"layer": {"Dense": {"units": units}}}},
            "Conv1D": {"Conv1D": {"filters": units, "kernel_size": 2, "padding": "same"}},
            "Dense": {"Dense": {"units": units, "activation": "tanh"}},
        }
        same = {
            "Masking": {"Masking": {"mask_value": 0.0}},
            "LayerNormalization": {"LayerNormalization": {}},
            "Dropout": {"Dropout": {"rate": 0.5}},
            "SpatialDropout1D": {"SpatialDropout1D": {"rate": 0.5}},
            "GaussianNoise": {"GaussianNoise": {"stddev": 1.0}},
            "BatchNormalization": {"BatchNormalization": {}},
            "SelfAttention": {"SelfAttention": {"num_heads": 2, "key_dim": 2}},
            "DotAttention": {"DotAttention": {}},
            "Residual": {"Residual": {"layer": {"Dense": {"units": width}}}},
            "Activation": {"Activation": {"activation": "relu"}},
            "Own": {self.own: {}},
        }
        if self.layers_only:
            for name in ("SelfAttention", "DotAttention", "Residual"):
                del same[name]
        name = self.one(*changed, *same)
        if name in same:
            return same[name], shape
        return changed[name], (steps, 4 if name == "Bidirectional" else units)

    def pooled(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from steps to a vector."""
        steps, width = shape
        units = self.one(2, 3, 4)
        layers: list[tuple[Item, int]] = [
            ({"LSTM": {"units": units}}, units),
            ({"GRU": {"units": units}}, units),
            ({"SimpleRNN": {"units": units}}, units),
            ({"Bidirectional": {"layer": {"GRU": {"units": 2}}}}, 4),
            ({"GlobalAveragePooling1D": {}}, width),
            ({"GlobalMaxPooling1D": {}}, width),
            ({"Flatten": {}}, steps * width),
        ]
        item, size = self.one(*layers)
        return item, (size,)

    def to_vector(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from a vector to a vector."""
        [width] = shape
        units = self.one(2, 3, 4)
        item = self.one(
            {"Dense": {"units": units, "activation": self.one("tanh", "relu", "gelu")}},
            {"Dense": {"units": units, "activation": "tanh"}},
            {"BatchNormalization": {}},
            {"Dropout": {"rate": 0.5}},
            {"GaussianNoise": {"stddev": 1.0}},
            {"GaussianDropout": {"rate": 0.5}},
            {"AlphaDropout": {"rate": 0.5}},
            {"Rescaling": {"scale": 0.5, "offset": 1.0}},
            {"Normalization": {"mean": [0.5] * width, "variance": [2.0] * width}},
            {"Adapted": {"width": width}},
            {"LayerNormalization": {}},
            {"UnitNormalization": {}},
            {self.own: {}},
        )
        return item, (units,) if "Dense" in item else shape

    def to_image(self, shape: tuple[int, ...]) -> tuple[Item, tuple[int, ...]]:
        """A layer from an image to an image."""
        height, width, _ = shape
        item = self.one(
            {"Conv2D": {"filters": 3, "kernel_size": 2, "padding": "same", "activation": "relu"}},
            {"DepthwiseConv2D": {"kernel_size": 2, "padding": "same"}},
            {"BatchNormalization": {}},
            {"SpatialDropout2D": {"rate": 0.5}},
            {"Rescaling": {"scale": 2.0, "offset": -1.0}},
            {"RandomFlip": {}},
        )
        return item, (height, width, 3) if "Conv2D" in item else shape

    def chain(
        self, given: Tensor, want: str, longest: int = 3
    ) -> tuple[list[Item], str, tuple[int, ...]]:
        """Layers from a tensor to a wanted kind, `vector` or `sequence` where it can be one."""
        items: list[Item] = []
        kind, shape = given.kind, given.shape
        if kind == "words":
            items.append(VOCABULARY)
            kind = "ids"
        if kind == "ids":
            width = self.one(2, 3)
            items.append({
                "Embedding": {"input_dim": 8, "output_dim": width, "mask_zero": self.chance(0.6)}
            })  # fmt: skip
            kind, shape = "sequence", (*shape, width)
        if kind == "sequence":
            for _ in range(int(self.random.integers(longest))):
                item, shape = self.to_sequence(shape)
                items.append(item)
            if want == "vector":
                item, shape = self.pooled(shape)
                items.append(item)
                kind = "vector"
        if kind == "image":
            for _ in range(int(self.random.integers(longest))):
                item, shape = self.to_image(shape)
                items.append(item)
            items.append({self.one("GlobalAveragePooling2D", "GlobalMaxPooling2D"): {}})
            kind, shape = "vector", (shape[-1],)
        if kind == "vector":
            for _ in range(int(self.random.integers(longest))):
                item, shape = self.to_vector(shape)
                items.append(item)
        return items, kind, shape

    def submodel(self) -> None:
        name = f"m{len(self.case.submodels)}"
        # One of the classes that share a name: in one file Keras could not tell them apart.
        self.own = self.one("OwnA", "OwnB")
        given = self.take("vector", "sequence", "ids", "image", "words")
        assert given is not None
        if given.kind == "vector" and self.chance(0.3):
            return self._vector_only(name, given)
        forms = ["functional"] * 4 + ["sequential", "bare", "nested", "nested", "export"]
        form = self.one(*forms)
        if given.kind in ("words",):
            form = "functional"
        self.layers_only = form in ("sequential", "bare")
        want = self.one("vector", "vector", "sequence")
        entries: dict[str, dict[str, Any]] = {}

        def entry(tensor: Tensor, chain: list[Item]) -> None:
            dtype = tensor.dtype
            if dtype == FLOAT and form == "functional" and self.chance(0.1):
                dtype = "float16"
            known = f"in{len(entries)}"
            if form == "functional" and self.chance(0.1):
                known = f"in-{len(entries)}"
            entries[known] = {"from": tensor.reference, "shape": list(tensor.shape),
                              "dtype": dtype, "chain": chain}  # fmt: skip

        chain, kind, shape = self.chain(given, want)
        entry(given, chain)
        shared, join, structure = False, "none", "single"
        other = None
        if form in ("functional", "nested", "export") and self.chance(0.45):
            other = self.take("vector", "sequence", "ids", "image")
        tail: list[Item] = []
        if other is not None:
            if other.kind == given.kind and other.shape == given.shape and self.chance(0.8):
                chain, kind, shape = self.chain(given, want)
                entries.clear()
                entry(given, chain)
                entry(other, chain)
                shared, join = True, self.one("concatenate", "add")
                if kind == "vector" and form != "export" and self.chance(0.4):
                    structure = "twice"
                if join == "concatenate" and structure != "twice":
                    shape = (*shape[:-1], shape[-1] * 2)
            else:
                more, again, beside = self.chain(other, kind)
                if again != kind or (kind == "sequence" and shape[0] != beside[0]):
                    if kind == again == "sequence":
                        join = "attention"
                        entry(other, more)
                    else:
                        other = None
                else:
                    entry(other, more)
                    join = "concatenate"
                    if kind == "sequence" and self.chance(0.5):
                        join = "attention"
                    else:
                        shape = (*shape[:-1], shape[-1] + beside[-1])
        if structure == "twice":
            units = self.one(2, 3)
            tail, shape = (
                [{"Dense": {"units": units, "name": self.one("score", "sco-re")}}],
                (units,),
            )
        elif kind == "vector":
            units = self.one(2, 3, 4)
            tail, shape = [{"Dense": {"units": units, "activation": "tanh"}}], (units,)
            if self.chance(0.2):
                tail.append({"Dropout": {"rate": 0.5}})
        elif not entries[next(iter(entries))]["chain"] and join == "none":
            tail = [{"Dense": {"units": shape[1]}}]
        if structure == "single" and form in ("functional", "nested", "export"):
            structure = self.one("single", "single", "single", "list", "dict", "nested")
            if form == "export" and structure == "nested":
                structure = "dict"
            if kind == "sequence" and structure == "nested":
                structure = "list"
        description: dict[str, Any] = {
            "form": form, "inputs": entries, "shared": shared, "join": join, "tail": tail,
            "structure": structure, "policy": FLOAT,
        }  # fmt: skip
        if form in ("functional", "sequential", "nested") and self.chance(0.25):
            description["policy"] = self.one("mixed_float16", "mixed_bfloat16", "bfloat16")
        if description["policy"] == "bfloat16" and any(n in str(entries) for n in RECURRENT):
            description["policy"] = "mixed_bfloat16"  # Keras cannot draw their first weights
        plain = description["policy"] == FLOAT and form in ("functional", "sequential")
        if plain and tail and structure == "single" and "Dense" in tail[0]:
            extra = self.one(*[""] * 6, "quantize", "lora")
            if extra:
                description[extra] = True
        if form == "functional" and structure != "nested" and self.chance(0.2):
            description["dict_inputs"] = True
        self.case.submodels[name] = description
        outputs = {"single": 1, "list": 2, "dict": 2, "twice": 2, "nested": 3}[structure]
        main, side = shape, (*shape[:-1], 2)
        if kind == "sequence" and structure != "single":
            side = (shape[0], 2)
        # In the order of `keras.tree.flatten`: by the keys of a dictionary.
        shapes = {"dict": [side, main], "twice": [main, main]}.get(structure, [main, side, main])
        for position in range(outputs):
            self.pool.append(Tensor(f"{name}#{position}", kind, shapes[position]))

    def _vector_only(self, name: str, given: Tensor) -> None:
        """Forms that take one vector."""
        form, units = self.one("subclassed", "module", "keras2", "same"), self.one(2, 3, 4)
        one = {"from": given.reference, "shape": list(given.shape), "dtype": FLOAT, "chain": []}
        if form == "same":
            twin = next(
                (
                    known
                    for known, found in self.case.submodels.items()
                    if "same_as" not in found and len(found["inputs"]) == 1
                    and next(iter(found["inputs"].values()))["shape"] == list(given.shape)
                    and next(iter(found["inputs"].values()))["dtype"] == FLOAT
                    and found["structure"] == "single"
                ),
                None,
            )  # fmt: skip
            if twin is not None:
                entry = next(iter(self.case.submodels[twin]["inputs"]))
                self.case.submodels[name] = {
                    "same_as": twin,
                    "inputs": {entry: {"from": given.reference}},
                }
                known = next(t for t in self.pool if t.reference == f"{twin}#0")
                self.pool.append(Tensor(f"{name}#0", known.kind, known.shape))
                return
            form = "subclassed"
        tail: list[Item] = []
        if form == "keras2":
            tail = [{"Dense": {"units": units, "activation": "tanh"}}, {"BatchNormalization": {}},
                    {"Dropout": {"rate": 0.5}}]  # fmt: skip
        self.case.submodels[name] = {
            "form": form, "inputs": {"in0": one}, "join": "none", "tail": tail, "units": units,
            "structure": "pair" if form == "module" else "single", "policy": FLOAT,
        }  # fmt: skip
        if form == "module":
            # By name: bottoms, tops.
            self.pool.append(Tensor(f"{name}#0", "vector", (units,), "float64"))
            self.pool.append(Tensor(f"{name}#1", "vector", (units,)))
        else:
            self.pool.append(Tensor(f"{name}#0", "vector", (units,)))

    # ------------------------------------------------------------------------------ graph

    def node(self, node: dict[str, Any], kind: str, shape: tuple[int, ...]) -> Tensor:
        name = f"n{len(self.case.nodes)}"
        self.case.nodes[name] = node
        tensor = Tensor(name, kind, shape)
        self.pool.append(tensor)
        return tensor

    def layers(self, given: Tensor, items: list[Item], shape: tuple[int, ...]) -> Tensor:
        self.used.add(given.reference)
        kind = "vector" if len(shape) == 1 else "sequence"
        return self.node({"layers": items, "inputs": given.reference}, kind, shape)

    def as_vector(self, given: Tensor) -> Tensor:
        """A tensor as a vector, through new layers where it is none."""
        if given.kind == "vector":
            self.used.add(given.reference)
            return given
        items: list[Item] = []
        kind, shape = given.kind, given.shape
        if kind == "image":
            items = [{"Conv2D": {"filters": 2, "kernel_size": 2}}, {"GlobalMaxPooling2D": {}}]
            return self.layers(given, items, (2,))
        if kind == "words":
            items.append(VOCABULARY)
            kind = "ids"
        if kind == "ids":
            items.append({"Embedding": {"input_dim": 8, "output_dim": 3,
                                        "mask_zero": self.chance(0.6)}})  # fmt: skip
            shape = (*shape, 3)
        if self.chance(0.2):
            items.append({"LayerNormalization": {}})
        item = self.one({"LSTM": {"units": 3}}, {"GRU": {"units": 3}},
                        {"GlobalAveragePooling1D": {}}, {"GlobalMaxPooling1D": {}},
                        {"Flatten": {}})  # fmt: skip
        width = shape[1] if "Pooling" in next(iter(item)) else 3
        if "Flatten" in item:
            width = shape[0] * shape[1]
        return self.layers(given, [*items, item], (width,))

    def widened(self, given: Tensor, units: int) -> Tensor:
        """A vector of a width."""
        if given.shape == (units,) and given.dtype == FLOAT:
            return given
        return self.layers(given, [{"Dense": {"units": units}}], (units,))

    def joined(self) -> Tensor:
        """Everything that nothing takes yet, as one vector."""
        if self.chance(0.35):
            self.sequence_merge()
        open_ends = [t for t in self.pool if t.reference not in self.used]
        vectors = [self.as_vector(tensor) for tensor in open_ends]
        while len(vectors) > 1:
            count = self.one(2, 2, 3)
            some, vectors = vectors[:count], vectors[count:]
            vectors.append(self.merge(some))
        return vectors[0]

    def sequence_merge(self) -> None:
        """Joins two sequences of as many steps: their masks meet there."""
        open_ends = [t for t in self.pool if t.reference not in self.used and t.kind == "sequence"]
        for position, first in enumerate(open_ends):
            for second in open_ends[position + 1 :]:
                if first.shape[0] != second.shape[0]:
                    continue
                merge = "concatenate"
                if first.shape == second.shape:
                    merge = self.one("concatenate", "add", "multiply", "average", "maximum")
                width = first.shape[1] + (second.shape[1] if merge == "concatenate" else 0)
                references = [first.reference, second.reference]
                self.used.update(references)
                self.node({"merge": merge, "inputs": references}, "sequence",
                          (first.shape[0], width))  # fmt: skip
                return

    def merge(self, tensors: list[Tensor]) -> Tensor:
        merge = self.one("concatenate", "concatenate", "add", "multiply", "average", "maximum",
                         "attention", "gated", "bilinear", "dot")  # fmt: skip
        if merge in ("bilinear", "dot") and len(tensors) != 2:
            merge = "concatenate"
        config: dict[str, Any] = {}
        if merge not in ("concatenate", "bilinear"):
            units = 4 if merge == "attention" else self.one(2, 3)
            tensors = [self.widened(tensor, units) for tensor in tensors]
            width = 1 if merge == "dot" else units
            if merge == "attention" and self.chance(0.5):
                config["heads"] = 2
            if merge == "dot" and self.chance(0.5):
                config["normalize"] = True
        elif merge == "concatenate":
            width = sum(tensor.shape[0] for tensor in tensors)
        else:
            tensors = [
                self.widened(tensor, 3) if tensor.shape[0] > 6 else tensor for tensor in tensors
            ]
            width = tensors[0].shape[0] * tensors[1].shape[0]
        references = [tensor.reference for tensor in tensors]
        if len(set(references)) < len(references):
            references, width = [*dict.fromkeys(references)], width
        self.used.update(references)
        node: dict[str, Any] = {"merge": merge, "inputs": references}
        if config:
            node["config"] = config
        return self.node(node, "vector", (width,))

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
            self.case.outputs[f"o{position}"] = output

    def training(self) -> None:
        stage: dict[str, Any] = {"name": "head", "epochs": 2, "learning_rate": 0.05,
                                 "optimizer": {"SGD": {"momentum": 0.5}}}  # fmt: skip
        if self.chance(0.2):
            stage["clip_norm"] = 1.0
        if self.chance(0.2):
            stage["optimizer"] = {"Adam": {"epsilon": 0.01}}
            stage["learning_rate"] = 0.01
        if self.chance(0.15):
            stage["early_stopping"] = {"monitor": "val_loss", "patience": 1}
        stages = [stage]
        whole = [
            name for name, found in self.case.submodels.items()
            if found.get("form") in ("functional", "sequential", "nested", "keras2", "module")
            and not found.get("quantize") and not found.get("lora") and found["policy"] == FLOAT
        ]  # fmt: skip
        if whole and self.chance(0.35):
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
        if seed % FULL_EVERY == 0:
            levels.append("full")
        if seed % SERVE_EVERY == 0:
            levels.append("serve")
        return self.case.without_unused()


def draw(seed: int) -> Case:
    """The case of a seed."""
    return _Draw(seed).drawn()
