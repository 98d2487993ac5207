"""HEIC, in which phones save photographs: read by Pillow with pillow-heif, an extra."""

from __future__ import annotations

from resnet_tl.errors import DataError

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
"""Kinds of files whose pixels are coded in HEVC (ISO/IEC 23008-12, annex B)."""


def is_heif(data: bytes) -> bool:
    """Whether the bytes begin as those of an HEIC file."""
    size = int.from_bytes(data[:4], "big")
    brands = {data[place : place + 4] for place in range(8, min(size, 256), 4)}
    return data[4:8] == b"ftyp" and not brands.isdisjoint(BRANDS)


def register(path: str) -> None:
    """Lets Pillow open HEIC files.

    Raises:
        DataError: pillow-heif is not installed; `path` needs it.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise DataError(f"{path}: HEIC needs pillow-heif: pip install 'resnet-tl[heic]'") from error
    register_heif_opener()
