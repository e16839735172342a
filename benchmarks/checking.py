"""What a run spends on checking that nothing was changed, damaged or lost, and the whole run.

    python -m benchmarks.checking --rows 16000 --json found.json

The functions that check are timed inside one run, in the threads that call them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.embed_world import Sizes
from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from tfx_fusion.pipeline.consoles import wide_console

ROOT = Path(__file__).resolve().parents[1]
INPUTS = "inputs: digests of rows, states of media"
ARTIFACTS = "artifacts: lists and digests of files"
MODELS = "models: digests when they are published"
DISK = "disk: flushed before it is renamed"


@click.command(context_settings=HELP)
@click.option("--rows", default=16000, show_default=True, help="Rows to train on, a JPEG each.")
@click.option("--pixels", default=64, show_default=True, help="To a side of the JPEG files.")
@json_option
def main(rows: int, pixels: int, file: Path | None) -> None:
    """Run a pipeline once and print what its checks take of it, in CPU time and in time."""
    console = wide_console()
    with tempfile.TemporaryDirectory() as name:
        world = Path(name, "world")
        world.mkdir()
        sizes = Sizes(rows, pixels, size=32, backbone="MobileNetV2", batch=64, epochs=1)
        command = [sys.executable, "-m", "benchmarks.embed_world", str(world), sizes.arguments()]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        specification = world / "fusion.yaml"
        text = specification.read_text().replace("embed_once: false", "embed_once: true")
        specification.write_text(text)
        spent, whole = measure(specification)
    table = {part: spent.of(part) for part in (INPUTS, ARTIFACTS, MODELS, DISK)}
    table["all checks"] = sum(cpu for cpu, _ in table.values()), sum(s for _, s in table.values())
    share = {name: (100 * cpu / whole[0], 100 * s / whole[1]) for name, (cpu, s) in table.items()}
    console.print(
        side_by_side(
            f"one run of {rows:,} rows: {whole[0]:.0f} s of CPU in {whole[1]:.0f} s",
            ("checks", "CPU s", "s", "% of the CPU time", "% of the time"),
            ((name, *found, *share[name]) for name, found in table.items()),
        )
    )
    names = ("cpu_seconds", "seconds")
    figures = {name: dict(zip(names, found, strict=True)) for name, found in table.items()}
    figures["run"] = dict(zip(names, whole, strict=True))
    write_figures(file, {"rows": rows, "cpu_percent": share["all checks"][0], **figures})


@dataclass
class Spent:
    """The CPU seconds and the seconds spent in functions that were wrapped, by a name.

    Where one calls another, the outer one counts.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    _inside: threading.local = field(default_factory=threading.local)
    _lock: Any = field(default_factory=threading.Lock)

    def of(self, part: str) -> tuple[float, float]:
        cpu, wall = self.seconds[part]
        return cpu, wall

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Replaces a function, where it is looked up, by one that is timed."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            if getattr(self._inside, "now", False):
                return function(*arguments, **named)
            self._inside.now = True
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
                self._inside.now = False
                with self._lock:
                    self.seconds[part][0] += cpu
                    self.seconds[part][1] += wall

        setattr(owner, name, timed)


def measure(specification: Path) -> tuple[Spent, tuple[float, float]]:
    """Runs a specification; what its checks took, and the CPU seconds and the seconds of all.

    What is imported and known of the sub-models beforehand is no part of it.
    """
    from tests.chaos.forks import import_all

    import_all()
    from tfx_fusion.pipeline.prepare import prepare
    from tfx_fusion.pipeline.run import run

    prepare(specification, print)
    spent = Spent()
    wrap_all(spent)
    cpu, wall = _cpu(), time.perf_counter()
    run(specification, wide_console())
    return spent, (_cpu() - cpu, time.perf_counter() - wall)


def wrap_all(spent: Spent) -> None:
    """Wraps every check in the modules that call it."""
    from tfx_fusion.components import base, channels
    from tfx_fusion.components.champion_resolver import executor
    from tfx_fusion.modules import files
    from tfx_fusion.modules.data import file_list, fingerprint, rows, write
    from tfx_fusion.modules.registry import champion, publish
    from tfx_fusion.pipeline import run

    spent.wrap(run, "fingerprint", INPUTS)
    spent.wrap(fingerprint.ShardDigest, "update", INPUTS)
    spent.wrap(fingerprint.ShardDigest, "add_media", INPUTS)
    spent.wrap(write, "media_states", INPUTS)
    spent.wrap(rows, "file_state", INPUTS)
    spent.wrap(base, "list_files", ARTIFACTS)
    spent.wrap(base, "check_files", ARTIFACTS)
    spent.wrap(file_list, "_compare", ARTIFACTS)
    spent.wrap(channels, "model_digest", MODELS)
    spent.wrap(champion, "published_digest", MODELS)
    spent.wrap(executor, "champion_state", MODELS)
    spent.wrap(publish, "model_digest", MODELS)
    spent.wrap(publish, "published_digest", MODELS)
    spent.wrap(files, "_flush", DISK)


def _cpu() -> float:
    """The CPU seconds of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
