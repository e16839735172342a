"""Draws sub-models."""

from __future__ import annotations

from typing import Any

from tests.differential.case import FLOAT, Case, generator
from tests.differential.draw_layers import Item, LayerDraw, Tensor

RECURRENT = ("LSTM", "GRU", "SimpleRNN")


class SubmodelDraw(LayerDraw):
    """Sub-models of a case.

    Attributes:
        pool: the tensors that something may take.
        used: the references that something takes.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(generator(seed, "case"))
        self.case = Case(seed)
        self.pool: list[Tensor] = []
        self.used: set[str] = set()

    def take(self, *kinds: str) -> Tensor | None:
        """A tensor of the pool, rather one that nothing takes yet."""
        fitting = [tensor for tensor in self.pool if tensor.kind in kinds]
        fresh = [tensor for tensor in fitting if tensor.reference not in self.used]
        if not fitting:
            return None
        picked = self.one(*(fresh or fitting))
        self.used.add(picked.reference)
        return picked

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
        if form == "export" and "RandomFlip" in str(entries):
            form = "functional"  # Keras exports it as in training, which is refused
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
