"""Compares the product with the oracle on one case."""

from __future__ import annotations

import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.differential import models
from tests.differential.case import FLOAT, Case
from tests.differential.oracle import Oracle
from tests.differential.oracle_training import Trainer, decided_by_log
from tests.differential.product import REFUSALS, Missed
from tests.differential.product_files import ProductFiles
from tests.differential.rows import draw_data

SAME, DIFFERENT, REFUSED, CRASHED, UNDRAWN = "same", "different", "refused", "crashed", "undrawn"
# In half precision a graph may round where eager code does not: three units in the last place of
# bfloat16 and of float16, of values about as large as the largest.
TOLERANCES = {FLOAT: 1e-5, "float16": 3 * 2.0**-10, "bfloat16": 3 * 2.0**-7}
# What a comparison may come to, beside a level: no other decision than by hand can be asked for.
DIVERGED, BY_A_HAIR = "diverged in both", "stopped early elsewhere by a hair"
RANDOM_LAYERS = ("Dropout", "Noise", "BatchNormalization", "RandomFlip")


@dataclass
class Result:
    """What became of a case: `status`, at which `level`, and the `detail` in words.

    `differences` has the first detail of every level that differs; `done` the levels that ran.
    """

    status: str
    level: str = ""
    detail: str = ""
    seconds: float = 0.0
    done: list[str] = field(default_factory=list)
    differences: dict[str, str] = field(default_factory=dict)


def tolerance(case: Case) -> float:
    """How far the product may be from the oracle, as a share of the largest value."""
    text = f"{case.training['precision']} {[s.get('policy') for s in case.submodels.values()]}"
    text += str(
        [entry.get("dtype") for s in case.submodels.values() for entry in s["inputs"].values()]
    )
    if "bfloat16" in text:
        return TOLERANCES["bfloat16"]
    quantized = any(found.get("quantize") for found in case.submodels.values())
    return TOLERANCES["float16" if "float16" in text or quantized else FLOAT]


def _gap(found: Mapping[str, Any], wanted: Mapping[str, Any], limit: float) -> str:
    """In words, what of the found values is not as wanted; empty where nothing is."""
    for name, right in wanted.items():
        if name not in found:
            return f"{name} is not there, only {', '.join(found)}"
        one, other = np.asarray(found[name], np.float64), np.asarray(right, np.float64)
        if one.shape != other.shape:
            return f"{name} has shape {one.shape}, by hand {other.shape}"
        scale = max(1.0, float(np.nanmax(np.abs(other), initial=0.0)))
        if not np.allclose(one, other, rtol=0, atol=limit * scale, equal_nan=True):
            gap = float(np.nanmax(np.abs(one - other)))
            shown = [values.reshape(-1)[:3].round(6).tolist() for values in (one, other)]
            return f"{name} is up to {gap:.2g} off: {shown[0]}, by hand {shown[1]}"
    return ""


def compare(case: Case, folder: Path | None = None) -> Result:
    """Compares every level that a case asks for, up to the first difference."""
    started = time.process_time()
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            return compare(case, Path(made))
    keras.backend.clear_session()
    result = Result(SAME)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for level in _levels(case, folder, result):
                result.done.append(level)
    finally:
        keras.config.set_dtype_policy(FLOAT)
        result.seconds = time.process_time() - started
    return result


def _levels(case: Case, folder: Path, result: Result) -> Iterator[str]:
    """Runs one level after the other; the last one's failure stands in the result."""

    def failed(status: str, level: str, detail: str) -> None:
        result.status, result.level, result.detail = status, level, detail

    try:
        data = draw_data(case)
        paths = {
            name: models.save(case, name, folder)
            for name, found in case.submodels.items()
            if "same_as" not in found
        }
        oracle = Oracle(case, paths)
        by_hand = oracle(oracle.feed(data, data.eval))
        by_hand = {name: np.asarray(value) for name, value in by_hand.items()}
    except Exception as error:  # noqa: BLE001
        return failed(UNDRAWN, "oracle", _short(error))
    level = "specification"
    try:
        product = ProductFiles(case, data, paths, folder)
        level = "build"
        fused = product.fuse()
        yield "build"
        levels = _Levels(case, data, paths, oracle, product, fused, result.differences)
        levels.predictions()
        yield "predictions"
        if {"train", "full"} & set(case.levels):
            yield from levels.training()
        if "full" in case.levels and not {DIVERGED, BY_A_HAIR} & set(result.done):
            yield from levels.whole()
    except Missed as error:
        result.differences["names"] = str(error)
    except REFUSALS as error:
        return failed(REFUSED, level, str(error))
    except Exception as error:  # noqa: BLE001
        return failed(CRASHED, f"after {(result.done or ['nothing'])[-1]}", _short(error))
    for level, detail in list(result.differences.items())[:1]:
        failed(DIFFERENT, level, detail)
    return None


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    place = traceback.extract_tb(error.__traceback__)[-1]
    ours = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if "/modules/" in frame.filename and "site-packages" not in frame.filename
    ]  # fmt: skip
    where = ours[-1] if ours else place
    short = "/".join(Path(where.filename).parts[-3:])
    said = f"{lines[0][:200]} … {lines[-1][:200]}" if len(lines) > 1 else "".join(lines)[:300]
    return f"{type(error).__name__}: {said} ({short}:{where.lineno})"


@dataclass
class _Levels:
    case: Case
    data: Any
    paths: dict[str, Path]
    oracle: Oracle
    product: ProductFiles
    fused: Any
    differences: dict[str, str]
    elsewhere: bool = False

    def check(
        self, level: str, found: Mapping[str, Any], wanted: Mapping[str, Any], limit: float
    ) -> None:
        """Notes a difference, the first of each level."""
        gap = _gap(found, wanted, limit)
        if gap:
            self.differences.setdefault(level, gap)

    def begin(self, oracle: Oracle, fused: Any) -> None:
        """Gives the oracle the first values of the product's new layers."""
        oracle(oracle.feed(self.data, self.data.eval[:2]))
        for name, layers in oracle.layers.items():
            for mine, theirs in zip(layers, self.product.layer_weights(fused, name), strict=True):
                mine.set_weights(theirs)
        for name, state in self.product.seeds(fused).items():
            oracle.seeds[name].state.assign(state)

    def predictions(self) -> None:
        """Predictions by the graph, called eagerly and compiled, and in training mode."""
        self.begin(self.oracle, self.fused)
        random = np.random.default_rng(self.case.seed)
        for reference, vector in self.product.vectors(self.fused).items():
            vector.assign(random.normal(size=vector.shape))
            self.oracle.vectors[reference].assign(np.asarray(vector))
        rows = self.data.eval
        wanted = {
            n: np.asarray(v) for n, v in self.oracle(self.oracle.feed(self.data, rows)).items()
        }
        limit = tolerance(self.case)
        new = " ".join(str(node.get("layers", "")) for node in self.case.nodes.values())
        modes = ["eager", "graph"]
        if not any(layer in new for layer in RANDOM_LAYERS) and not self.oracle.seeds:
            modes.append("training")
        for mode in modes:
            found = self.product.predict(self.fused, rows, mode)
            self.check(f"predictions, {mode}", found, wanted, limit)

    def training(self) -> Iterator[str]:
        """Weights, losses and metrics after training, on raw rows and on embeddings."""
        order = self.product.order()
        for epoch in order:
            seen = np.sort(np.concatenate(epoch))
            self.check("order of rows", {"rows": seen}, {"rows": self.data.train}, 0)
        if "gradients" in self.case.levels:
            yield from self.gradients(order)
        oracle = Oracle(self.case, self.paths)
        self.begin(oracle, self.fused)
        first = [(variable, np.asarray(variable)) for variable in oracle.random_states()]
        oracle.set_means(self.data)
        by_hand = Trainer(oracle, self.data)
        losses = by_hand.train(order)
        yield "trained by hand"
        kinds = ["raw", "embedded"]
        killed = kinds[self.case.seed // 6 % 2]
        for kind in kinds:
            kill = self.case.training.get("kill") if kind == killed else None
            yield self._trained(kind, by_hand, losses, kill)
        if by_hand.diverged or self.elsewhere:
            return
        self.wanted = oracle(oracle.feed(self.data, self.data.eval))
        self.measured = by_hand.metrics(self.data.eval)
        if "warm_start" in self.case.training:
            champion = self.product.champion(*self.trained)
            for variable, state in first:
                variable.assign(state)
            oracle.set_means(self.data)
            losses = by_hand.train(order)
            yield self._trained(f"{killed}, warm start", by_hand, losses, champion=champion)
            self.wanted_warm = oracle(oracle.feed(self.data, self.data.eval))

    def gradients(self, order: list[list[np.ndarray]]) -> Iterator[str]:
        """Every trainable weight's gradient in each stage's first epoch, its steps left out."""
        oracle = Oracle(self.case, self.paths)
        self.begin(oracle, self.fused)
        oracle.set_means(self.data)
        wanted = Trainer(oracle, self.data).gradients(order)
        for kind in ("raw", "embedded"):
            found = self.product.gradients(kind == "embedded")
            self.check(f"gradients, {kind}", found, wanted, self.limit())
            yield f"gradients on {kind} rows"

    def _trained(
        self,
        kind: str,
        by_hand: Trainer,
        losses: list[dict[str, float]],
        kill: int | None = None,
        champion: Any = None,
    ) -> str:
        """Trains and compares; returns what was done."""
        embedded = kind.startswith("embedded")
        try:
            fused, record = self.product.train(self.product.fuse(), embedded, kill, champion)
        except REFUSALS as error:
            if not by_hand.diverged:
                raise
            stage, epoch = by_hand.diverged
            if f"in stage '{stage}' the" not in str(error) or f"epoch {epoch}:" not in str(error):
                self.differences[f"divergence, {kind}"] = f"{error}, by hand in {stage}, {epoch}"
            return DIVERGED
        if by_hand.diverged:
            self.differences[f"divergence, {kind}"] = f"none, by hand in {by_hand.diverged}"
            return DIVERGED
        self.trained = fused, record
        limit, rows = self.limit(), self.data.eval
        decided = [(len(stage.epochs), stage.kept) for stage in record.stages]
        right = decided_by_log(self.case, [stage.epochs for stage in record.stages])
        self.check(f"early stopping, {kind}", {"epochs": decided}, {"epochs": right}, 0)
        log = [epoch for stage in record.stages for epoch in stage.epochs]
        self.elsewhere |= limit > 1e-4 and decided != by_hand.decided
        if self.elsewhere:  # by another epoch, but as its own log says; only the first stage stops
            alike = min(decided[0][0], by_hand.decided[0][0])
            log, losses = log[:alike], losses[:alike]
        for epoch, right in zip(log, losses, strict=True):
            self.check(f"loss, {kind}", {"loss": epoch["val_loss"]},
                       {"loss": right["loss"]}, limit)  # fmt: skip
            # Keras logs one output's loss as the loss, and its metrics without its name.
            parts = {n: v for n, v in right.items() if n != "loss" and f"val_{n}" in epoch}
            logged = {name: epoch[f"val_{name}"] for name in parts}
            self.check(f"losses by output, {kind}", logged, parts, limit)
        if self.elsewhere:
            return BY_A_HAIR
        if limit < 1e-4 and record.stages[-1].kept == len(record.stages[-1].epochs) - 1:
            measured = by_hand.metrics(rows)
            logged = {
                name: log[-1].get(f"val_{name}", log[-1].get(f"val_{name.partition('_')[2]}"))
                for name in measured
            }
            self.check(f"metrics, {kind}", logged, measured, limit)
        for name, layers in by_hand.oracle.layers.items():
            theirs = [w for layer in self.product.layer_weights(fused, name) for w in layer]
            mine = [np.asarray(w) for layer in layers for w in layer.weights]
            self.check(
                f"weights, {kind}",
                {f"{name}/{number}": value for number, value in enumerate(theirs)},
                {f"{name}/{number}": value for number, value in enumerate(mine)}, limit,
            )  # fmt: skip
        wanted = by_hand.oracle(by_hand.oracle.feed(self.data, rows))
        found = self.product.predict(fused, rows, "graph")
        self.check(f"trained predictions, {kind}", found, wanted, limit)
        return f"trained on {kind} rows"

    def limit(self) -> float:
        """The tolerance after training: half precision rounds in every step."""
        limit = tolerance(self.case)
        return limit if limit < 1e-4 else 4 * limit

    def whole(self) -> Iterator[str]:
        """The exported model, the evaluator's metrics and the servers."""
        limit, folder = self.limit(), Path()
        for kind in ("raw", "embedded"):
            kill = self.case.training.get("kill") if kind == "embedded" else None
            folder = self.product.run(kind == "embedded", kill)
            predicted, metrics = self.product.exported(folder)
            self.check(f"exported, {kind}", predicted, self.wanted, limit)
            if limit < 1e-4:
                self.check(f"evaluator, {kind}", metrics, self.measured, limit)
            yield f"exported after {kind} rows"
        if "warm_start" in self.case.training:
            warm = self.product.run(self.case.seed // 30 % 2 == 0, champion=folder)
            self.check("exported, warm start", self.product.exported(warm)[0],
                       self.wanted_warm, limit)  # fmt: skip
            yield "exported after a warm start"
        named = self.product.named(folder, self.data.eval)
        self.check("named signature", named, self.wanted, limit)
        yield "named signature"
        if "serve" in self.case.levels:
            for kind, answers in self.product.served(folder, self.data.eval).items():
                self.check(f"served by {kind}", answers, self.wanted, limit)
                yield f"served by {kind}"
