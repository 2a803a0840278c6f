"""Recognises officially published files by their digest, and tells what is known of the licence of weights."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class KnownFile:
    """A published checkpoint."""

    name: str
    content: str
    publisher: str
    address: str
    bytes: int
    licence: str
    origin: str
    """The source that gives this digest for the file."""


NVIDIA_LICENCE = "NVIDIA Source Code License: non-commercial use (research or evaluation) only"

KNOWN_FILES = {
    "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c": KnownFile(
        name="ffhq.pkl",
        content="StyleGAN2, faces of FFHQ, 1024x1024",
        publisher="NVIDIA, StyleGAN2-ADA PyTorch",
        address="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl",
        bytes=381_624_121,
        licence=NVIDIA_LICENCE,
        origin="ten files of public GitHub repositories state this digest for this address, two of them the size too "
        "(searched 2026-11-24); nobody of this project has hashed the download itself",
    ),
}
"""{SHA-256: file}. Only digests with a source are listed; for the other official files none was found."""


def licence_note(digest: str) -> str:
    """Tells about the licence of a file's weights, which conversion does not change."""
    if known := KNOWN_FILES.get(digest):
        return f"{known.name} of {known.publisher}: {known.licence}."
    return (
        "The digest is not that of a known official file: the licence is that of whoever published it. Weights "
        f"published by NVIDIA are under the {NVIDIA_LICENCE}."
    )
