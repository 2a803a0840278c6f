"""Builds the API page: what `jaxgan` exports, in groups, a page for each of its modules, and the worked examples.

python -m experiments.docs.build site
"""

from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import sys
import typing
import warnings
from pathlib import Path
from types import ModuleType

import pdoc

import jaxgan
from experiments.docs import references

GROUPS = {
    "Networks": ("load_generator", "load_lpips", "save_generator", "Generator", "GeneratorConfig", "LPIPS"),
    "Degradations": (
        "default_degradation",
        "Identity",
        "Mask",
        "Grayscale",
        "GaussianBlur",
        "MotionBlur",
        "Pooling",
        "Denoising",
        "JPEG",
        "Compose",
    ),
    "Degradations of one's own": (
        "Degradation",
        "CompleteObservation",
        "pytree",
        "check_degradation",
        "HasInverse",
        "Knowledge",
    ),
    "Inversion": ("invert", "invert_batch", "InversionConfig", "InversionResult", "LossTerms", "Prior", "make_prior"),
    "Methods and tuning": ("Method", "tune", "tune_batch", "TuningConfig", "TuningResult", "Pivot"),
    "Tunings on disk": ("save_tuning", "load_tuning", "save_tuned"),
    "Unknown parameters": ("estimate_parameters", "Estimate", "with_parameters"),
    "Restoration": ("restore", "has_inverse", "Spectrum", "measure_spectrum"),
    "Inversions on disk": ("save_inversion", "load_inversion", "InversionState"),
    "Modules": ("images", "latents", "masks", "metrics", "uncertainty"),
    "Errors": ("UserError", "CheckpointError"),
}
EXAMPLES = Path(__file__).parent / "examples"


def build(folder: Path) -> None:
    """Writes the pages as HTML.

    Args:
      folder: holds the pages afterwards, and is made if needed; its jaxgan.html is the first one to read.
    Raises:
      UserWarning: pdoc cannot make sense of a signature or a docstring.
    """
    modules = references.modules_of("jaxgan")
    for module in modules:
        evaluate_fields(module)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pages = {module.__name__: pdoc.doc.Module(module) for module in modules}
        pages["jaxgan"].docstring = introduction()
        pdoc.render.configure(
            docformat="google", show_source=False, footer_text=f"jaxgan {importlib.metadata.version('jaxgan')}"
        )
        for name, page in pages.items():
            path = folder / f"{name.replace('.', '/')}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pdoc.render.html_module(page, pages))
        (folder / "index.html").write_text(pdoc.render.html_index(pages))
        (folder / "search.js").write_text(pdoc.render.search_index(pages))


def evaluate_fields(module: ModuleType) -> None:
    """Evaluates the types of named tuples, whose names pdoc does not find in the module that Python makes for them."""
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, tuple) and value.__module__ == module.__name__:
            value.__new__.__annotations__ = typing.get_type_hints(value)


def problems() -> list[str]:
    """The names in docstrings that name nothing, and the differences between the groups and `jaxgan.__all__`."""
    grouped = [name for names in GROUPS.values() for name in names]
    return [
        *(f"build.GROUPS: {name} must stand in one group" for name in jaxgan.__all__ if grouped.count(name) != 1),
        *(f"build.GROUPS: jaxgan exports no {name}" for name in grouped if name not in jaxgan.__all__),
        *(problem for module in references.modules_of("jaxgan") for problem in references.broken(module)),
    ]


def introduction() -> str:
    """The first page as Markdown: a line for each exported name, and the examples."""
    lines = [inspect.getdoc(jaxgan) or "", ""]
    for group, names in GROUPS.items():
        lines += [f"## {group}", "", *(f"- `jaxgan.{name}`: {summary(name)}" for name in names), ""]
    lines += ["# Examples", "", "The tests run each of these files, on a small network and in a few steps.", ""]
    for path in sorted(EXAMPLES.glob("[!_]*.py")):
        lines += [f"## experiments/docs/examples/{path.name}", "", "```python", path.read_text().strip(), "```", ""]
    return "\n".join([*lines, "# All names"])


def summary(name: str) -> str:
    """The first sentence of what `jaxgan` exports under a name."""
    return (inspect.getdoc(getattr(jaxgan, name)) or "").split("\n\n")[0].replace("\n", " ")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the pages")
    folder = parser.parse_args(argv).folder
    if found := problems():
        sys.exit("\n".join(found))
    build(folder)
    print(folder / "jaxgan.html")


if __name__ == "__main__":
    main()
