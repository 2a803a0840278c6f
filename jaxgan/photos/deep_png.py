"""Writes PNG files of 16 bits per channel, which Pillow writes for gray pictures only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt16


def write(path: Path, array: UInt16[np.ndarray, "H W c"], chunks: Sequence[tuple[bytes, bytes]]) -> None:
    """Writes the file row by row.

    Args:
      path: the file to write.
      array: gray, gray and alpha, RGB, or RGBA.
      chunks: names and contents of further chunks, which stand before the pixels.
    References:
      Portable Network Graphics (PNG) Specification, third edition, 5.3 (chunks) and 9.2 (filters).
    """
    height, width, channels = array.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    packer = zlib.compressobj(6)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        for name, content in chunks:
            _write_chunk(file, name, content)
        above = np.zeros(width * channels * 2, np.uint8)
        for row in array:
            values = row.astype(">u2").reshape(-1).view(np.uint8)
            packed = packer.compress(b"\x02" + (values - above).tobytes())  # filter 2: the difference to the row above
            above = values
            if packed:
                _write_chunk(file, b"IDAT", packed)
        _write_chunk(file, b"IDAT", packer.flush())
        _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content)))
