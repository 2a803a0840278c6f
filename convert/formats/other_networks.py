"""Recognises networks that come in the same containers but are not StyleGAN2, by the names in a file."""

from __future__ import annotations

import os
import pickletools
import re
from collections.abc import Iterable

from jaxgan.pickles import MAX_OPCODES

SIGNS = {
    "StyleGAN1": ("StyleMod",),
    "Progressive GAN": ("ToRGB_lod", "FromRGB_lod"),
    "StyleGAN-XL": ("Superres", "embed_proj", "SuperresGenerator"),
    "StyleGAN3 (alias-free)": ("SynthesisInput", "StyleGAN3"),
    "projected GAN": ("Fastgan", "FastGAN", "ProjectedDiscriminator", "pg_modules"),
    "EG3D": ("TriPlaneGenerator",),
}
"""A dict {architecture: beginnings of the classes, modules and variables that only it has}, more specific ones first.

StyleGAN1: Karras et al., 1812.04948; StyleGAN3: 2106.12423; StyleGAN-XL: Sauer et al., 2202.00273 (a StyleGAN3 that is
trained with the discriminator of projected GANs, 2111.01007).
"""


PROJECTS = {
    "CodeFormer": r"quantize\.embedding|position_emb|fuse_convs_dict\.",
    "RestoreFormer": r"vqvae\.",
    "GPEN": r"ecd\d+\.\d",
    "ESRGAN or Real-ESRGAN": r"conv_first\.|rdb1\.conv1\.|RRDB_trunk\.",
    "stylegan2-pytorch of lucidrains": r"(GAN\.)?[SG]E?\.(net\.0|initial_block|initial_conv|blocks\.0)",
    "MMGeneration or MMagic": r"style_mapping\.",
    "genforce, StyleGAN1": r"synthesis\.layer0\.(const|epilogue|norm)",
    "genforce, Progressive GAN": r"(generator|generator_smooth)\.layer0\.(weight|conv)",
    "a diffusion model": r"(model\.diffusion_model|unet|time_embed|first_stage_model)\.",
    "a StyleGAN2 discriminator without its generator": r"final_linear\.\d\.weight|b4\.mbstd|epilogue\.",
}
"""A dict {project: regular expression of a name, or its beginning, in its state dicts}, for messages."""


def project_of(names: Iterable[str]) -> str | None:
    """Returns the project whose state dict has such dotted names, or None; prefixes of the names do not matter."""
    names = list(names)
    for project, pattern in PROJECTS.items():
        if any(re.search(rf"(^|\.)({pattern})", name) for name in names):
            return project
    return None


def name_of(names: Iterable[str]) -> str | None:
    """Returns the architecture whose signs are among the dotted or slashed names, or None."""
    parts = {part for name in names for part in name.replace("/", ".").split(".")}
    found = [name for name, signs in SIGNS.items() if any(part.startswith(signs) for part in parts)]
    if "projected GAN" in found and any(name.startswith("StyleGAN3") for name in found):
        return "StyleGAN-XL"
    return found[0] if found else None


def name_in_pickle(path: str | os.PathLike) -> str | None:
    """Returns the architecture that the short strings of a refused pickle tell, or None; nothing is built from them."""
    names = set()
    try:
        with open(path, "rb") as file:
            for index, (_, argument, _) in enumerate(pickletools.genops(file)):
                if isinstance(argument, str) and len(argument) < 200:
                    names.update(argument.split(" "))  # a GLOBAL opcode holds its module and name in one string
                if index > MAX_OPCODES:
                    break
    except (OSError, ValueError, OverflowError, MemoryError):
        pass  # the pickle is damaged as well; the strings so far will do
    return name_of(names)
