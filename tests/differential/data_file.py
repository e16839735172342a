"""The data file of a case, as the product reads it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.differential.case import Case
from tests.differential.rows import Data


def write_rows(case: Case, data: Data, folder: Path) -> list[dict[str, Any]]:
    """Writes `rows.jsonl` with its media, and returns the lines."""
    lines = []
    for row in range(case.training["rows"]):
        line: dict[str, Any] = {"split": "eval" if row in data.eval else "train"}
        for name, feature in case.features.items():
            value = data.features[name][row]
            if name in data.absent and data.absent[name][row]:
                line[name] = _absent(name, feature, row, folder)
            elif feature["kind"] == "text":
                line[name] = data.raw[name][row]
            elif feature["kind"] == "number":
                found = enumerate(data.raw[name][row].tolist())
                line |= {f"{name}_{number}": value for number, value in found}
            elif feature["kind"] == "image":
                line[name] = f"{name}_{row}.png"
                if "full" in case.levels:
                    pixels = np.round(value * 255).astype("uint8")
                    (folder / line[name]).write_bytes(tf.io.encode_png(pixels).numpy())
            elif name in data.lengths:
                line[name] = value[: data.lengths[name][row]].tolist()
            elif feature["kind"] == "sequence":
                line[name] = value.tolist()
            else:
                line[name] = value.reshape(-1).tolist()
        for name, output in case.outputs.items():
            if name in data.weights:
                line[f"weights_{name}"] = float(data.weights[name][row])
            value = data.labels[name][row]
            if output["label"]["type"] == "number":
                line[f"label_{name}"] = float(value[0])
            elif output["label"]["type"] == "category":
                line[f"label_{name}"] = output["label"]["classes"][int(value)]
            else:
                classes = zip(output["label"]["classes"], value, strict=True)
                line[f"label_{name}"] = [c for c, has in classes if has]
        lines.append(line)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "rows.jsonl").write_text(text)
    return lines


def _absent(name: str, feature: Mapping[str, Any], row: int, folder: Path) -> Any:
    """What stands in a row that lacks a feature: nothing, or what cannot be read as one."""
    if "unreadable" not in feature["missing"] or row % 2:
        return "" if feature["kind"] == "text" else None
    if feature["kind"] != "image":
        return [[0.5] * (feature["shape"][1] + 1)]
    (folder / f"{name}_cut.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return f"{name}_cut.png" if row % 4 else f"{name}_nowhere.png"
