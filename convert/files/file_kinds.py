"""Recognises kinds of checkpoint files by their content."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from convert.files.torch_tensors import LEGACY_MAGIC, CheckpointFileError
from jaxgan.errors import UserError

Kind = Literal["pickle", "legacy", "zip", "torchscript", "npz", "safetensors"]


def recognise(path: str | os.PathLike) -> Kind:
    """Tells by its content what kind of checkpoint a file is.

    Raises:
      CheckpointFileError: the file is missing or empty, or it is a directory, a text or HTML page, a Git LFS pointer or
        nothing known.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise CheckpointFileError(f"{path} is a directory; expected a file.")
        if path.exists() and not path.is_file():
            raise CheckpointFileError(f"{path} is no regular file; expected a file.")  # a pipe could wait for ever
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise CheckpointFileError(f"{path} cannot be read: {error.strerror}.") from None
    if not head:
        raise CheckpointFileError(f"{path} is empty; download it again.")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointFileError(
            f"{path}: this is a Git LFS pointer, not the weights; fetch them with `git lfs pull` in its repository."
        )
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")):
        raise CheckpointFileError(f"{path} is a compressed file; unpack it first.")
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "legacy" if LEGACY_MAGIC.to_bytes(10, "little") in head[:20] else "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head.lstrip()[:1] == b"<":
        raise CheckpointFileError(f"{path} is an HTML or XML page, probably of a failed download; download it again.")
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        raise CheckpointFileError(f"{path} is a text file; expected a checkpoint (.pkl, .pt, .safetensors or .npz).")
    raise CheckpointFileError(f"{path} is no checkpoint of a known kind (pickle, torch.save, safetensors, npz).")


@contextmanager
def opened_zip(path: str | os.PathLike) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive, and puts its name before errors."""
    with named(path):
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, RecursionError, MemoryError) as error:
            raise CheckpointFileError(f"truncated or damaged zip ({error}).") from None
        with archive:
            yield archive


@contextmanager
def named(path: str | os.PathLike) -> Iterator[None]:
    """Puts the file's name before errors that lack it."""
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _zip_kind(path: Path) -> Kind:
    with opened_zip(path) as archive:
        names = archive.namelist()
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "torchscript" if any(name.endswith("/constants.pkl") for name in names) else "zip"
