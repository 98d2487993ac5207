"""Packages that few people need, which `pip install 'resnet-tl[EXTRA]'` adds."""

from __future__ import annotations

from importlib.util import find_spec

from resnet_tl.errors import RunError


def require(purpose: str, *packages: str, extra: str) -> None:
    """Raises RunError if a package is not installed.

    Args:
        purpose: what needs it, the first words of the sentence: `a report`.
        packages: by the names that are imported.
        extra: of this project, which has them.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise RunError(f"{purpose} needs {', '.join(missing)}: pip install 'resnet-tl[{extra}]'")
