"""A pod: one process with a root file system, users and processes of its own.

It sees the system's folders, the Python environment and the project's source, read-only and at
their own paths (together they play the image), its volumes, and folders that are empty at its
start. Like a container on Kubeflow it runs as root without any capability.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/sys")
# What the launcher uses: object stores appear below the last three.
WRITABLE = ("/tmp", "/gcs", "/minio", "/s3")  # noqa: S108 the pod's own
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
READY = "ready"
SHARED_MEMORY = "64m"  # what Kubernetes gives
UNSHARE = (
    "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--ipc",
)  # fmt: skip
WITHOUT_RIGHTS = "setpriv --bounding-set=-all --inh-caps=-all --no-new-privs"


@cache
def need_pods() -> None:
    """Skips the test where the machine does not let processes have namespaces of their own."""
    probe = "mount -t proc proc /proc && mount -t tmpfs tmpfs /mnt && setpriv --version"
    try:
        done = subprocess.run([*UNSHARE, "sh", "-c", probe], capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"pods need unshare of util-linux: {error}")
    if done.returncode:
        pytest.skip(f"pods need user, mount and process namespaces: {done.stderr.strip()}")


@dataclass(frozen=True)
class Pod:
    """A pod whose writable folders lie below `folder`, where the launcher reaches them."""

    folder: Path
    volumes: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in WRITABLE:
            self.path(path).mkdir(parents=True)
        (self.folder / "root").mkdir()

    def path(self, inside: str) -> Path:
        """The path outside of one inside."""
        return self.folder / "disk" / inside.lstrip("/")

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def run(self, command: list[str], log: Path, stop: Callable[[float], bool]) -> int:
        """Runs a command until it ends or `stop(seconds)` is true; returns its exit code."""
        script, setup_log = self.folder / "setup.sh", self.folder / "setup.log"
        script.write_text(self._script(command, log))
        with setup_log.open("wb") as stream:
            process = subprocess.Popen(
                [*UNSHARE, "sh", str(script)],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            )  # fmt: skip
            try:
                begun = float("inf")
                while process.poll() is None and not stop(time.monotonic() - begun):
                    time.sleep(0.02)
                    if setup_log.stat().st_size:
                        begun = min(begun, time.monotonic())
                killed = process.poll() is None
            finally:
                _kill(process)
                code = process.wait()
        if not setup_log.read_text().startswith(READY):
            raise RuntimeError(f"no pod could be made: {setup_log.read_text()}")
        return 128 + signal.SIGKILL if killed else code

    def _script(self, command: list[str], log: Path) -> str:
        root = self.folder / "root"
        lines = ["set -e", f"exec 3>>{_q(log)}", f"mount -t tmpfs -o mode=755 tmpfs {_q(root)}"]
        lines += [f"cd {_q(root)}", "mkdir -p dev proc root run var/tmp"]
        lines += [_bind(self.path(path), path) for path in WRITABLE]
        lines += [_read_only(path) for path in _image()]
        lines += [_bind(folder.resolve(), path) for path, folder in sorted(self.volumes.items())]
        for name in DEVICES:
            lines.append(f"touch dev/{name} && mount --bind /dev/{name} dev/{name}")
        lines += [
            "ln -s /proc/self/fd dev/fd",
            "mkdir dev/shm",
            f"mount -t tmpfs -o mode=1777,size={SHARED_MEMORY} tmpfs dev/shm",
            "mount -t proc proc proc",
            "mkdir old && pivot_root . old && cd / && umount -l /old && rmdir /old",
            f"echo {READY}",
        ]
        environment = {**_environment(), **self.environment}
        words = [f"{name}={value}" for name, value in environment.items()] + command
        # Not the shell's last command, which it would make process 1: a step is not that one.
        lines += [f"{WITHOUT_RIGHTS} env -i {shlex.join(words)} >&3 2>&3 3>&- || exit $?"]
        lines += ["exit 0"]
        return "\n".join(lines) + "\n"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills what still runs, by the pod's first process: it ends after all others have ended."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if process.poll() is None:
        for child in [int(pid) for pid in children.read_text().split()] or [process.pid]:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def _q(path: Path | str) -> str:
    return shlex.quote(str(path))


def _bind(source: Path, inside: str) -> str:
    target = _q(f".{inside}")
    return f"mkdir -p {target} && mount --rbind {_q(source)} {target}"


def _read_only(path: Path) -> str:
    """Lines that show a path at its own place; what is mounted below it must be listed too."""
    if path.is_symlink():
        return f"mkdir -p .{_q(path.parent)} && ln -s {_q(path.readlink())} .{_q(path)}"
    lines = [_bind(path, str(path))]
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = sorted({mount for mount in mounts if mount.startswith(f"{path}/")})
    lines += [f"mount -o remount,bind,ro .{_q(each)}" for each in [path, *below]]
    return "\n".join(lines)


def _image() -> list[Path]:
    """The paths that play the image, without those that lie in another."""
    python = [Path(sys.prefix), Path(sys.base_prefix)]
    paths = [*map(Path, SYSTEM), *python, *(path.resolve() for path in python), SOURCE]
    outermost: list[Path] = []
    for path in sorted({path for path in paths if path.exists()}, key=lambda each: len(each.parts)):
        if not set(outermost) & set(path.parents):
            outermost.append(path)
    return outermost


def _environment() -> dict[str, str]:
    """What an image of the project sets."""
    bins = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return {"PATH": ":".join(bins), "HOME": "/root", "PYTHONPATH": str(SOURCE), "LANG": "C.UTF-8"}
