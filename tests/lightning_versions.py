"""Runs the tests of resume and freezing on the oldest and the newest Lightning that pyproject.toml allows.

    python tests/lightning_versions.py FOLDER [pytest's options]

Each version gets a virtual environment in FOLDER that holds Lightning alone; everything else, torch above all, is
imported from the environment of the Python that runs this.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
import venv
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/test_lightning_internals.py",
    "tests/tuning/test_resume.py",
    "tests/tuning/test_exactness.py",
    "tests/tuning/test_freezing.py",
    "tests/tuning/test_ranks.py",
    "tests/run/test_ddp.py",
    "tests/tuning/test_strategies.py",
    "tests/contracts/test_saved_files.py",
)


def allowed() -> str:
    """Returns pyproject.toml's requirement: `lightning>=2.6.4,<2.7`."""
    found = re.search(r'"(lightning>=[^"]+)"', (ROOT / "pyproject.toml").read_text())
    if found is None:
        raise SystemExit("pyproject.toml: found no requirement lightning>=...")
    return found[1]


def install(requirement: str, folder: Path) -> Path:
    """Returns the Python of a new environment with this Lightning, before the packages of this one."""
    venv.create(folder, clear=True, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", requirement], check=True)
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    shared = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(own, "shared.pth").write_text("\n".join(sorted(shared)))  # appended to sys.path: Lightning is found first
    return python


def check(name: str, requirement: str, folder: Path, options: list[str]) -> str:
    """Runs the tests and returns their result in one line."""
    python = install(requirement, folder / name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = "import lightning; print(lightning.__version__, lightning.__file__)"
    version, path = subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True, env=environment
    ).stdout.split()
    if not Path(path).is_relative_to(folder / name):
        raise SystemExit(f"{name}: lightning is imported from {path}, expected from {folder / name}")
    start = time.monotonic()
    tests = [python, "-m", "pytest", "-p", "no:cacheprovider", "--disable-warnings", *TESTS, *options]
    status = subprocess.run(tests, cwd=ROOT, env=environment, check=False).returncode
    return f"lightning {version} ({name}): {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - start:.0f} s"


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    folder, requirement = Path(sys.argv[1]).resolve(), allowed()
    oldest = "lightning==" + re.split("[>=,]+", requirement)[1]
    results = [check(*version, folder, sys.argv[2:]) for version in (("oldest", oldest), ("newest", requirement))]
    print(f"torch {metadata.version('torch')}, Python {sys.version.split()[0]}", *results, sep="\n")
    sys.exit(any("FAILED" in result for result in results))


if __name__ == "__main__":
    main()
