"""The layout of the packages, measured on the files themselves: imports point downwards and never in a circle.

Imports inside functions and under `TYPE_CHECKING` count like all others.
"""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("jaxgan", "convert", "experiments")
ORDER = (
    ("commands",),
    ("experiments.studies", "experiments.bench", "experiments.docs", "experiments.page"),
    ("experiments.measure",),
    ("experiments.restore",),
    ("experiments.runs",),
    ("shared",),
    ("convert",),
    ("jaxgan.photos",),
    ("jaxgan",),
    ("jaxgan.convolutions", "jaxgan.pickles"),
    ("errors and files",),
)
"""Groups of files from the top to the bottom; those of a row do not know each other."""
COMMANDS = ("invert", "align", "sample", "evaluate", "study", "benchmark", "benchmark_tasks", "app")
SHARED = ("options", "validation", "cli", "command_line", "interrupts", "networks", "programs")
"""The files that lie in experiments/ itself."""


@functools.cache
def imports() -> dict[str, set[str]]:
    """The modules of this project that each module imports."""
    files = {_name(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    return {name: _imported(name, path, files.keys()) for name, path in files.items()}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(name: str, path: Path, known) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in known else node.module for module in modules}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            prefix = ast.unparse(node.args[0]).strip("f'\"").split("{")[0]
            found |= {module for module in known if module.startswith(prefix)}
    return {module for module in found if module in known} - {name}


def _group(module: str) -> str:
    package, *rest = module.split(".")
    if package == "experiments" and rest:
        return "commands" if rest[0] in COMMANDS else "shared" if rest[0] in SHARED else f"experiments.{rest[0]}"
    if module in ("jaxgan.errors", "jaxgan.files"):
        return "errors and files"
    if package == "jaxgan" and rest and rest[0] in ("photos", "convolutions", "pickles"):
        return f"jaxgan.{rest[0]}"
    return "shared" if package == "experiments" else package


def test_every_file_belongs_to_a_group():
    assert {_group(module) for module in imports()} == {group for row in ORDER for group in row}


def test_no_file_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter(imports()).prepare()  # raises CycleError, which names the circle


def test_imports_point_downwards():
    level = {group: row for row, groups in enumerate(ORDER) for group in groups}
    upwards = [
        f"{module} imports {imported}"
        for module, targets in imports().items()
        for imported in targets
        if _group(module) != _group(imported) and level[_group(imported)] <= level[_group(module)]
    ]
    assert upwards == []


def test_nothing_imports_a_command():
    commands = {f"experiments.{name}" for name in COMMANDS}
    assert {module: targets & commands for module, targets in imports().items() if targets & commands} == {}


@pytest.mark.parametrize("module", [f"experiments.{name}" for name in COMMANDS])
def test_a_command_loads_no_large_library_before_it_runs(module):
    """So its help, which needs its options only, answers at once."""
    large = ("jax", "torch", "dlib", "matplotlib", "skimage", "scipy", "ray")
    program = f"import sys, {module}; print(*(set({large!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_guide_lists_the_files_of_a_photograph_in_order_and_each_once():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    listed = [line.split("`")[1] for line in guide.splitlines() if line[:1].isdigit() and "`experiments/" in line]
    assert len(listed) == len(set(listed)) > 8
    assert [name for name in listed if not (ROOT / name).exists()] == []
    assert listed[0] == "experiments/invert.py" and listed[-1] == "experiments/restore/paste_back.py"
