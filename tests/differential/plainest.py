"""The plainest fusion of each kind that once gave a wrong number, a crash or a refusal."""

from __future__ import annotations

from typing import Any

from tests.differential.case import Case


def sub(inputs: dict[str, Any], tail: Any = (), **kw: Any) -> dict[str, Any]:
    """A functional sub-model; `kw` changes its description."""
    return {
        "form": "functional",
        "inputs": inputs,
        "shared": False,
        "join": "none",
        "tail": list(tail),
        "structure": "single",
        "policy": "float32",
        **kw,
    }


def entry(f: str, shape: list[int], chain: Any = (), dtype: str = "float32") -> dict[str, Any]:
    """An input that a feature feeds."""
    return {"from": f, "shape": shape, "dtype": dtype, "chain": list(chain)}


def case(
    features: Any,
    subs: Any,
    ref: str,
    levels: Any = (),
    precision: str = "float32",
    outputs: int = 1,
) -> Case:
    """Heads on one reference."""
    return Case(
        3,
        features,
        subs,
        {f"n{k}": {"layers": [{"Dense": {"units": 1}}], "inputs": ref} for k in range(outputs)},
        {
            f"o{k}": {"loss": "huber", "label": {"type": "number"}, "metrics": [], "from": f"n{k}"}
            for k in range(outputs)
        },
        {
            "batch_size": 7,
            "seed": 1,
            "rows": 30,
            "precision": precision,
            "stages": [{"name": "h", "epochs": 1, "learning_rate": 0.1, "optimizer": {"SGD": {}}}],
        },
        list(levels),
    )


VARIABLE = {"f0": {"kind": "variable", "shape": [4, 3]}}
VECTOR = {"f0": {"kind": "vector", "shape": [3]}}
IDS = {"f0": {"kind": "ids", "shape": [4]}}
LSTM_CHAIN = [{"LSTM": {"units": 3}}]
EMBEDDING = [{"Embedding": {"input_dim": 8, "output_dim": 3, "mask_zero": True}}]
PLAINEST = {
    "vector of masked sequence": case(
        VARIABLE, {"m0": sub({"in0": entry("f0", [4, 3], LSTM_CHAIN)})}, "m0#0", ["train"]
    ),
    "one layer two outputs": case(
        {**VECTOR, "f1": VECTOR["f0"]},
        {
            "m0": sub(
                {"in0": entry("f0", [3]), "in1": entry("f1", [3])},
                [{"Dense": {"units": 2, "name": "score"}}],
                structure="twice",
            )
        },
        "m0#1",
    ),
    "sequential without input": case(
        IDS,
        {
            "m0": sub(
                {"in0": entry("f0", [4], [*EMBEDDING, {"GlobalAveragePooling1D": {}}], "int64")},
                form="bare",
            )
        },
        "m0#0",
    ),
    "mask through cast": case(
        IDS,
        {
            "m0": sub({"in0": entry("f0", [4], EMBEDDING, "int64")}, policy="mixed_float16"),
            "m1": sub({"in0": entry("m0#0", [4, 3], LSTM_CHAIN)}),
        },
        "m1#0",
    ),
    "zero step": case(
        {"f0": {**VARIABLE["f0"], "zero_step": True}},
        {"m0": sub({"in0": entry("f0", [4, 3], LSTM_CHAIN)})},
        "m0#0",
    ),
    "losses by batches": case(
        VECTOR,
        {"m0": sub({"in0": entry("f0", [3], [{"Dense": {"units": 2}}])})},
        "m0#0",
        ["train"],
        outputs=2,
    ),
    "mask under mixed precision": case(
        VARIABLE,
        {"m0": sub({"in0": entry("f0", [4, 3], LSTM_CHAIN)})},
        "m0#0",
        precision="mixed_bfloat16",
    ),
    "nested outputs": case(
        VECTOR,
        {"m0": sub({"in0": entry("f0", [3], [{"Dense": {"units": 2}}])}, structure="nested")},
        "m0#0",
    ),
}
twice = case(
    VECTOR,
    {
        "m0": sub({"in0": entry("f0", [3], [{"OwnA": {}}])}),
        "m1": sub({"in0": entry("f0", [3], [{"OwnB": {}}])}),
    },
    "m0#0",
)
twice.nodes["n1"] = {"layers": [{"Dense": {"units": 1}}], "inputs": "m1#0"}
twice.outputs["o1"] = {**twice.outputs["o0"], "from": "n1"}
PLAINEST["one class name twice"] = twice
stages = case(
    {**VECTOR, "f1": {**VECTOR["f0"], "missing": {"replace": "learned", "drop": 0.4}}},
    {
        "m0": sub({"in0": entry("f0", [3], [{"Dense": {"units": 3}}])}, [{"Dense": {"units": 2}}]),
        "m1": sub({"in0": entry("f1", [3], [{"BatchNormalization": {}}, {"Dense": {"units": 2}}])}),
    },
    "n1",
    ["train"],
)
stages.nodes = {"n1": {"merge": "add", "inputs": ["m0#0", "m1#0"]}, **stages.nodes}
stages.training |= {"kill": 2, "warm_start": "champion"}
stages.training["stages"] += [
    {"name": "last", "epochs": 2, "learning_rate": 0.1, "optimizer": {"SGD": {}},
     "unfreeze": {"m0": {"last": 1, "learning_rate": 0.3}}},
    {"name": "named", "epochs": 1, "learning_rate": 0.1, "optimizer": {"Adam": {}},
     "unfreeze": {"m0": {"layers": ["dense"]}, "m1": {"all": True, "training_mode": True}}},
]  # fmt: skip
PLAINEST["unfrozen by stages, killed, and started warm"] = stages
