"""Builds and tries the image of `kubeflow/Dockerfile` on a machine without Docker.

A clean root file system of the Dockerfile's base (Debian, from the machine's own apt sources, its
signatures checked) is made by mmdebstrap; each step of the Dockerfile runs in it as written, in
namespaces of its own; then the image's user asks for the commands, and runs a whole small pipeline.
Needs root rights, about 10 GB and 5 minutes; `--keep FOLDER` leaves the root file systems there.

Not checked: the layers as Docker stores them, and Docker's own reading of the Dockerfile; the base
is built from the same packages as the published `debian:trixie-slim`, and is not that image.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from dockerfile import DockerfileError, Stage, copied, is_sent, read_ignored, read_stages, variables
from image_trials import TRIALS, TrialError, check_leftovers, check_locked, make_inputs
from private_libc import OS_RELEASE, renamed_sources

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"
DOCKER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What `slim` leaves out of Debian.
SLIM = [
    f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "info", "locale", "man")
]  # fmt: skip
# How this machine reaches its package index; never written into the image.
PASSED = re.compile(
    r"(PIP|UV)_(.*INDEX.*|FIND_LINKS|TRUSTED_HOST|.*TIMEOUT)|(https?|no|all)_proxy", re.IGNORECASE
)


class ImageError(Exception):
    """The image is not as it should be; the message says what failed."""


class MachineError(ImageError):
    """The image cannot be looked at on this machine; the message says why."""


# What tells that nothing was found out of the image.
NOT_HERE = 3


def say(text: str) -> None:
    print(f"image: {text}", flush=True)


@dataclass
class System:
    """A root file system, with what the steps so far have set."""

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": DOCKER_PATH})
    place: str = "/"
    user: str = "0:0"

    def path(self, inside: str) -> Path:
        """Where a path of the system, relative to the working folder there, is on this machine."""
        return self.folder / os.path.normpath(Path(self.place, inside)).lstrip("/")

    def run(
        self, command: str, environment: Mapping[str, str], inputs: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a shell command in it, with /run as a place that is gone afterwards.

        With `inputs`, a copy of that folder is /run/work and there is no network but the loopback.
        """
        root = shlex.quote(str(self.folder))
        script = [
            "set -e",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"mount -t tmpfs -o mode=755 tmpfs {root}/run",
        ]
        passed = {}
        if inputs is None:
            script.append(f"mount --bind /etc/resolv.conf {root}/etc/resolv.conf")
            passed = passed_environment(root, script)
        else:
            script.append("ip link set lo up")
            script.append(f"cp -r {shlex.quote(str(inputs))} {root}/run/work")
            script.append(f"chown -R {self.user} {root}/run/work")
        together = {**self.environment, **passed, **environment}
        words = ["chroot", f"--userspec={self.user}", "--groups=", str(self.folder), "env", "-i",
                 *(f"{name}={value}" for name, value in together.items()),
                 "sh", "-c", f"cd {shlex.quote(self.place)} && {command}"]  # fmt: skip
        script.append(f"exec {shlex.join(words)}")
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        apart += [] if inputs is None else ["--net"]
        return subprocess.run(
            [*apart, "sh", "-c", "\n".join(script)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def passed_environment(root: str, script: list[str]) -> dict[str, str]:
    """How this machine reaches its package index, with the files that are named, put in /run."""
    found = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    ).stdout
    for line in listed.splitlines():
        if at := re.fullmatch(r"global\.(extra-)?index-url='(.*)'", line):
            extra = (at[1] or "").upper().replace("-", "_")
            found.setdefault(f"PIP_{extra}INDEX_URL", at[2])
            found.setdefault(f"UV_{extra}INDEX_URL", at[2])
    certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    found |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), certificates or "")
    for position, (name, value) in enumerate(found.items()):
        if not Path(value).is_absolute():
            continue
        place = f"/run/machine{position}"
        if Path(value).is_file():
            script.append(f"cp {shlex.quote(value)} {root}{place}")
        elif Path(value).is_dir():
            script.append(f"mkdir {root}{place}")
            script.append(f"mount --bind {shlex.quote(value)} {root}{place}")
        found[name] = place
    return found


def make_base(suite: str, work: Path) -> Path:
    """A clean minimal Debian of a release, from this machine's apt sources."""
    facts = dict(line.split("=", 1) for line in OS_RELEASE.read_text().splitlines() if "=" in line)
    codename = facts.get("VERSION_CODENAME", "").strip('"')
    lists = work / "sources"
    lists.mkdir()
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            text = renamed_sources(path.read_text(), codename, suite)
            if text:
                (lists / path.name).write_text(text + "\n")
    if facts.get("ID") != "debian" or not any(lists.iterdir()):
        raise MachineError(f"a Debian machine is needed, whose apt sources can be those of {suite}")
    tool = shutil.which("mmdebstrap")
    if tool is None:
        fetched = subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "mmdebstrap"],
            cwd=work, capture_output=True, text=True,
        )  # fmt: skip
        if fetched.returncode:
            raise MachineError(f"apt cannot fetch mmdebstrap: {fetched.stderr[-1000:]}")
        [package] = work.glob("mmdebstrap_*.deb")
        subprocess.run(["dpkg", "-x", package, work / "mmdebstrap"], check=True)
        tool = str(work / "mmdebstrap/usr/bin/mmdebstrap")  # with a tool of its own beside it
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    reach = [line for line in dump.splitlines() if re.match(r"Acquire::https?::", line)]
    base = work / "base"
    done = subprocess.run(
        [tool, "--mode=root", "--variant=minbase", "--quiet", *SLIM,
         *(f"--aptopt={line}" for line in reach), suite, base, *sorted(lists.iterdir())],
        capture_output=True, text=True,
        env={**os.environ, "PATH": f"{Path(tool).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    if done.returncode:
        raise MachineError(f"no {suite} could be made: {done.stderr[-3000:]}")
    return base


def make_context(work: Path) -> Path:
    """What a build sends to Docker: the project, less what .dockerignore keeps back."""
    context = work / "context"
    patterns = read_ignored((ROOT / ".dockerignore").read_text())
    for folder, folders, files in os.walk(ROOT):
        inside = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if is_sent(str(inside / name), patterns)]
        for name in files:
            if is_sent(str(inside / name), patterns):
                (context / inside).mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(folder, name), context / inside / name)
    return context


def build(stage: Stage, system: System, context: Path, built: Mapping[str, System]) -> None:
    """Runs the steps of a stage in a copy of its base."""
    for step in stage.steps:
        started = time.monotonic()
        if step.instruction == "RUN":
            done = system.run(step.text, {})
            if done.returncode:
                raise ImageError(f"RUN {step.text}\nfailed:\n{done.stdout[-5000:]}")
        elif step.instruction == "COPY":
            _copy(step.text, system, context, built)
        elif step.instruction == "ENV":
            system.environment |= variables(step.text)
        elif step.instruction == "WORKDIR":
            system.place = step.text
            system.path(".").mkdir(parents=True, exist_ok=True)
        elif step.instruction == "USER":
            system.user = step.text
        say(f"{time.monotonic() - started:6.1f} s  {step.instruction} {step.text[:80]}")


def _copy(text: str, system: System, context: Path, built: Mapping[str, System]) -> None:
    """As Docker does: of a folder its content; into a folder where the target ends in a slash."""
    stage, sources, target = copied(text)
    place = system.path(target)
    for source in sources:
        found = built[stage].path(source) if stage else context / source
        if not found.exists():
            raise ImageError(f"COPY {text}: there is no {source}")
        if found.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", "--no-preserve=ownership", f"{found}/.", place], check=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place / found.name)


def try_out(system: System, work: Path) -> None:
    """Asks the image, as its user and without a network, for what a stage needs of it."""
    check_leftovers(system.folder)
    check_locked(system.folder, ROOT)
    inputs = make_inputs(work)
    for trial in TRIALS:
        started = time.monotonic()
        done = system.run(trial.command, {}, inputs)
        if done.returncode or not re.search(trial.expected, done.stdout):
            raise ImageError(
                f"`{trial.command}` ended with {done.returncode}, expected 0 and "
                f"'{trial.expected}':\n{done.stdout[-5000:]}"
            )
        say(f"{time.monotonic() - started:6.1f} s  as {system.user}: {trial.command}")


def check(work: Path) -> None:
    """Makes the image below a folder and tries it out."""
    stages = read_stages(DOCKERFILE.read_text())
    context = make_context(work)
    bases: dict[str, Path] = {}
    built: dict[str, System] = {}
    for stage in stages:
        if stage.base not in bases:
            named = re.fullmatch(r"debian:(\w+)-slim", stage.base)
            if named is None:
                raise ImageError(f"expected FROM debian:RELEASE-slim, found {stage.base}")
            started = time.monotonic()
            bases[stage.base] = make_base(named[1], work)
            say(f"{time.monotonic() - started:6.1f} s  FROM {stage.base}")
        name = stage.name or "image"
        system = System(work / name)
        subprocess.run(["cp", "-a", bases[stage.base], system.folder], check=True)
        build(stage, system, context, built)
        built[name] = system
    say(f"{_size(built['image'].folder) / 1e9:.2f} GB unpacked")
    try_out(built["image"], work)


def _size(folder: Path) -> int:
    done = subprocess.run(["du", "-sxb", folder], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="an empty folder to work in and to leave there")
    options = parser.parse_args(arguments)
    if (
        os.geteuid()
        or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode
    ):
        print("not checked: root rights are needed, for chroot and mounts", file=sys.stderr)
        return NOT_HERE
    started = time.monotonic()
    try:
        if options.keep:
            options.keep.mkdir(parents=True)
            check(options.keep.resolve())
        else:
            with tempfile.TemporaryDirectory(prefix="fusion-image-") as work:
                check(Path(work))
    except MachineError as error:
        print(f"not checked: {error}", file=sys.stderr)
        return NOT_HERE
    except (ImageError, TrialError, DockerfileError) as error:
        print(f"check failed: {error}", file=sys.stderr)
        return 1
    say(f"as it should be, in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
