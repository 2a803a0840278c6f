"""Conventions of the library, checked over its source: docstrings, order of arguments, who imports whom."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgan

ROOT = Path(__file__).parent.parent
MODULES = sorted(module.name for module in pkgutil.walk_packages(jaxgan.__path__, "jaxgan."))


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def public_definitions(module_name: str):
    """Functions, classes and public methods defined in a module: (name, object)."""
    module = importlib.import_module(module_name)
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module_name:
            continue
        if inspect.isclass(value):
            yield f"{module_name}.{name}", value
            for attribute, member in vars(value).items():
                function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
                function = function.fget if isinstance(function, property) else function
                if not attribute.startswith("_") and inspect.isfunction(function):
                    yield f"{module_name}.{name}.{attribute}", function
        elif callable(value):
            yield f"{module_name}.{name}", value


def imported_names(path: Path) -> set[str]:
    """First parts of all absolute imports of a file, those inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_the_scan_sees_the_library():
    assert len(MODULES) >= 14 and "jaxgan.degradations" in MODULES
    names = {name for module in MODULES for name, _ in public_definitions(module)}
    assert {"jaxgan.latents.sample_noise", "jaxgan.lpips.LPIPS.features", "jaxgan.optimization.run_chunk"} <= names
    assert "dlib" in imported_names(ROOT / "jaxgan" / "photos" / "faces.py")


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_has_a_docstring(module):
    assert importlib.import_module(module).__doc__
    # inspect.getdoc would take that of a base class, and dataclasses and tuples write one of their own
    inherited = ("hide_missing",)  # said once, in the protocol
    bare = [
        name
        for name, value in public_definitions(module)
        if not name.endswith(inherited) and (not value.__doc__ or value.__doc__.startswith(value.__name__ + "("))
    ]
    assert not bare


def test_all_names_what_there_is():
    assert jaxgan.__doc__ and jaxgan.__all__ == sorted(jaxgan.__all__, key=lambda name: (not name.isupper(), name))
    for name in jaxgan.__all__:
        assert getattr(jaxgan, name).__doc__, name
    public = {name for name, value in vars(jaxgan).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public == {name for name in jaxgan.__all__ if not inspect.ismodule(getattr(jaxgan, name))}


@pytest.mark.parametrize("module", MODULES)
def test_a_key_is_never_made_up(module):
    for name, value in public_definitions(module):
        parameters = {} if inspect.isclass(value) else inspect.signature(value).parameters
        assert "rng" not in parameters, name
        for key in {"key", "keys"} & set(parameters):
            assert parameters[key].default is inspect.Parameter.empty, name


def test_options_are_keyword_only():
    """Booleans without a name at the call say nothing."""
    for module in MODULES:
        for name, value in public_definitions(module):
            for parameter in inspect.signature(value).parameters.values() if inspect.isfunction(value) else ():
                if isinstance(parameter.default, bool):
                    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, (name, parameter.name)


def test_importing_the_library_is_light():
    code = (
        "import sys, jaxgan; heavy = {'torch', 'dlib', 'matplotlib', 'tyro', 'skimage', 'tqdm'} & set(sys.modules);"
        "assert 'jax' in sys.modules; print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr


def test_imports_point_downwards():
    for path in sources("jaxgan"):
        assert not imported_names(path) & {"convert", "experiments", "torch", "tests"}, path
    for path in sources("convert"):
        assert "experiments" not in imported_names(path), path


def test_one_module_imports_dlib():
    importers = {
        path.name
        for package in ("jaxgan", "convert", "experiments")
        for path in sources(package)
        if "dlib" in imported_names(path)
    }
    assert importers == {"faces.py"}


def test_convolutions_have_one_door():
    """What is behind it is the affair of its own files."""
    for path in [*sources("jaxgan"), *sources("convert"), *sources("experiments")]:
        if path.parent.name != "convolutions":
            imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
            assert not [node for node in imports if (node.module or "").startswith("jaxgan.convolutions.")], path


def test_the_library_does_not_print():
    for path in sources("jaxgan"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"], path
