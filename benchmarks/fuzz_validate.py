"""Damaged specifications and models against `fusion validate`: each ends in an answer.

    python -m benchmarks.fuzz_validate --specifications 5000 --models 500 --seed 0 --json found.json

An answer is success, or an error for the user with a message. Anything else is a fault: another
exception, a message that holds a traceback, more than `--seconds`. What caused a fault is kept in
the folder `--faults`.
"""

import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click
import yaml

from benchmarks.damage import (
    MAKE,
    SMALL,
    WIDE,
    damage_keras,
    damage_saved_model,
    damaged,
)
from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from tfx_fusion.modules.errors import SpecificationError, UserError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels import inspection_cache
from tfx_fusion.pipeline.check import import_light_keras
from tfx_fusion.pipeline.consoles import wide_console

MEMORY = 8 << 30  # more than a check may take; a layer of 10^12 units then raises MemoryError
MODELS_TOGETHER = 25


class TooLong(BaseException):
    """A check has taken longer than it may. No Exception, so that no check can catch it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TooLong inside after some seconds."""

    def end(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Faults:
    """What did not end in an answer, and how everything else ended."""

    def __init__(self, folder: Path | None) -> None:
        self.ends: Counter[str] = Counter()
        self.found: list[str] = []
        self._folder = folder

    def answered(self, what: str, end: str) -> None:
        """Counts an answer."""
        self.ends[f"{what}: {end}"] += 1

    def add(self, what: str, number: int, end: str, content: bytes | Path | None = None) -> None:
        """Records a fault, and keeps what caused it."""
        self.ends[f"{what}: FAULT"] += 1
        self.found.append(f"{what} {number}: {end}")
        print(f"{what} {number}: {end}", file=sys.stderr, flush=True)
        if self._folder is not None and content is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            kept = self._folder / f"{what}-{number}"
            if isinstance(content, bytes):
                kept.write_bytes(content)
            else:
                (shutil.copytree if content.is_dir() else shutil.copy)(content, kept)


def fault_in(message: str) -> str:
    """What is wrong with a message for the user; empty where nothing is."""
    if not message.strip():
        return "an empty message"
    return "a traceback in the message" if "Traceback (most recent" in message else ""


def try_specifications(folder: Path, count: int, seed: int, seconds: float, faults: Faults) -> None:
    """Checks damaged specifications in this process, as `fusion validate` does."""
    import_light_keras()
    from tfx_fusion.pipeline.commands.validate import validate

    file = folder / "fusion.yaml"

    def unread(submodels: dict[str, Any]) -> dict[str, dict]:
        # Another process reads models, which `try_models` damages; here it would take an hour.
        return {name: {"problems": ["path: not read here"]} for name in submodels}

    inspection_cache._read_in_process = unread
    check: Callable[[Path], Any] = validate.callback  # type: ignore[assignment]
    for text in (WIDE, SMALL):
        file.write_text(text)
        with redirect_stdout(io.StringIO()):
            check(file)
    for number in range(seed, seed + count):
        content = damaged(random.Random(number))  # noqa: S311
        file.write_bytes(content)
        end, fault = "valid", ""
        try:
            with redirect_stdout(io.StringIO()), at_most(seconds):
                check(file)
        except UserError as error:
            end, fault = "refused", fault_in(str(error))
        except TooLong:
            fault = f"took more than {seconds:g} seconds"
        except BaseException as error:  # noqa: BLE001 whatever it is, it is what is looked for
            fault = f"{type(error).__name__}: {str(error)[:300]}"
        if fault:
            faults.add("specification", number, fault, content)
        else:
            faults.answered("specification", end)


def try_models(folder: Path, count: int, seed: int, seconds: float, faults: Faults) -> None:
    """Reads damaged models as a check does: many in a process of its own."""
    sources = [folder / name for name in ("vision.keras", "ear.keras", "plain_net")]
    for first in range(seed, seed + count, MODELS_TOGETHER):
        numbers = range(first, min(first + MODELS_TOGETHER, seed + count))
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            paths = {}
            for number in numbers:
                draw = random.Random(number)  # noqa: S311
                source = draw.choice([*sources, sources[0]])
                path = paths[number] = Path(temporary, f"m{number}{source.suffix}")
                if source.is_dir():
                    shutil.copytree(source, path)
                    damage_saved_model(draw, path)
                else:
                    shutil.copy(source, path)
                    damage_keras(draw, path)
            _read(Path(temporary), paths, seconds, faults)


def _read(folder: Path, paths: dict[int, Path], seconds: float, faults: Faults) -> None:
    tree = yaml.safe_load(SMALL)
    tree["submodels"] = {
        f"m{n}": {"path": str(path), "inputs": {"x": "a"}} for n, path in paths.items()
    }
    specification = Specification.model_validate(tree, context={"folder": folder})
    refused: dict[str, str] = {}
    try:
        with at_most(seconds * len(paths)):
            inspection_cache.InspectionCache(folder / "known").inspect(
                specification, lambda _: None
            )
    except SpecificationError as error:
        refused = {problem.split(".")[1]: problem for problem in error.problems}
    except TooLong:
        faults.add("model", min(paths), f"{len(paths)} took more than {seconds:g} seconds each")
        return
    except Exception as error:  # noqa: BLE001 whatever it is, it is what is looked for
        faults.add("model", min(paths), f"{type(error).__name__}: {str(error)[:300]}")
        return
    for number, path in paths.items():
        problem = refused.get(f"m{number}", "")
        fault = fault_in(problem) if f"m{number}" in refused else ""
        if fault:
            faults.add("model", number, f"{fault}: {problem[:300]}", path)
            continue
        ended = "the process ended, refused" if "process that read" in problem else "refused"
        faults.answered("model", ended if problem else "read")


@click.command(context_settings=HELP)
@click.option("--specifications", default=500, show_default=True, help="How many are damaged.")
@click.option("--models", default=50, show_default=True, help="How many are damaged.")
@click.option("--seed", default=0, show_default=True, help="The first seed; each has its own.")
@click.option("--seconds", default=30.0, show_default=True, help="The most that one may take.")
@click.option("--faults", "kept", type=click.Path(path_type=Path), help="Keeps what caused faults.")
@json_option
def main(
    specifications: int, models: int, seed: int, seconds: float, kept: Path | None,
    file: Path | None,
) -> None:  # fmt: skip
    """Damage specifications and models, and see that each check ends in an answer."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    faults, started = Faults(kept), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", MAKE, name], check=True, capture_output=True)
        (folder / "words.txt").write_text("\n[UNK]\nred\nvery\n")
        (folder / "rows.csv").write_text(
            "id,image,said,age,size,city,steps,kind,tags,split,a,b,y\n"
        )
        whole = [yaml.safe_load(text)["submodels"] for text in (WIDE, SMALL)]
        tree = {**yaml.safe_load(WIDE), "submodels": {**whole[1], **whole[0]}}
        del tree["submodels"]["twin"]
        known = Specification.model_validate(tree, context={"folder": folder.resolve()})
        cache = inspection_cache.InspectionCache(folder.resolve() / "runs" / "submodels")
        cache.inspect(known, lambda _: None)
        try_models(folder, models, seed, seconds, faults)
        try_specifications(folder, specifications, seed, seconds, faults)
    took = time.monotonic() - started
    wide_console().print(
        side_by_side(
            f"{specifications:,} specifications and {models:,} models, seed {seed}, {took:.0f} s",
            ("end", "times"),
            sorted(faults.ends.items()),
        )
    )
    write_figures(file, {"ends": dict(faults.ends), "faults": faults.found, "seconds": took})
    sys.exit(1 if faults.found else 0)


if __name__ == "__main__":
    main()
