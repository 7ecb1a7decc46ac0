"""The one-way street: a floor imports only the floors below it, and every room says what it holds."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import bench
from bench import api, datasets, methods

FLOORS = [
    ("datasets",), ("methods",), ("protocol",), ("store",), ("compute",), ("runner",), ("report", "apply"), ("tools",),
    ("api",), ("cli",),
]  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
TOP = {"", "__init__", "__main__"}  # the package itself, which names the public classes and functions
PRINTING = {"report.claims.shown", "report.render", "report.show"}
HEAVY = ("pandas", "matplotlib", "skimage", "scipy", "joblib")
ROOTS = {"": bench, "datasets.": datasets, "methods.": methods}


@cache
def modules() -> dict[str, Path]:
    """Dotted name below `bench` -> file; `datasets` and `methods` may stand beside `bench/` or inside it."""
    found = {}
    for prefix, package in ROOTS.items():
        folder = Path(str(package.__file__)).parent
        for path in folder.rglob("*.py"):
            name = ".".join(path.relative_to(folder).with_suffix("").parts)
            if prefix or name.split(".")[0] not in ("datasets", "methods"):
                found[(prefix + name).removesuffix(".__init__")] = path
    return found


def imported(name: str, path: Path) -> set[str]:
    """The modules of `bench` that a module imports, wherever in the file, by their names below `bench`."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("bench.") for alias in node.names if alias.name.startswith("bench.")}
        elif isinstance(node, ast.ImportFrom) and (node.level or str(node.module).split(".")[0] == "bench"):
            base = package[: len(package) - node.level + 1] if node.level else []
            inside = str(node.module or "").removeprefix("bench").strip(".").split(".")
            where = ".".join(filter(None, [*base, *inside]))
            found |= {_module(where, alias.name) for alias in node.names}
    return found


def _module(where: str, name: str) -> str:
    """`where.name` if that is a module, else the module `where`, which holds the name."""
    inner = f"{where}.{name}" if where else name
    return inner if inner in modules() else where


def room(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_only_its_own_room_and_the_floors_below(name: str) -> None:
    if room(name) in TOP:
        return
    for target in imported(name, modules()[name]) - {""}:
        below = LEVEL[room(target)] < LEVEL[room(name)]
        assert below or room(target) == room(name), f"{name} imports {target}"


def test_the_command_line_calls_the_api_and_nothing_else() -> None:
    """It may also print frames and records, know our errors, and load plug-ins."""
    allowed = {"", "api", "datasets.errors", "methods.plugins", *PRINTING}
    for name in filter(lambda name: room(name) == "cli", modules()):
        found = {target for target in imported(name, modules()[name]) if room(target) != "cli"}
        assert found <= allowed, f"{name} imports {found - allowed}"


def test_the_api_exports_every_function_that_its_own_modules_do_not_share() -> None:
    assert all(hasattr(api, name) for name in api.HOME)
    trees = {name: ast.parse(path.read_bytes()) for name, path in modules().items() if name.startswith("api.")}
    assert trees
    shared = {word for tree in trees.values() for word in from_siblings(tree)}
    for name, tree in trees.items():
        public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"}
        within = name.removeprefix("api")
        assert {one for one in public if (within, one) not in shared} <= {*api.MODULES[within]}, name


def from_siblings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that a module takes from the modules of its own folder: (".module", name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from ((f".{node.module}", alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f".{node.value.id}", node.attr


def test_every_module_stands_on_a_floor() -> None:
    assert {room(name) for name in modules()} - TOP == LEVEL.keys()
    assert imported("methods.b2u", modules()["methods.b2u"]) >= {"methods.base", "methods.registry"}  # names do resolve


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: imported(name, path) - {"", name} for name, path in modules().items() if room(name) not in TOP}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError


@pytest.mark.parametrize("name", sorted(name for name, path in modules().items() if path.name == "__init__.py"))
def test_every_package_says_in_one_line_what_lives_there(name: str) -> None:
    said = ast.get_docstring(ast.parse(modules()[name].read_bytes())) or ""
    assert said.splitlines()[0].endswith(".")
    if name not in ("__init__", "datasets"):  # the ground floor imports nothing of ours
        assert "Imports" in said


@pytest.mark.parametrize("use", ["from bench import Method", "from bench.cli.main import parser; parser()"])
def test_nobody_pays_for_what_is_not_used(use: str) -> None:
    """Plug-ins and --help load torch, and neither tables nor figures nor image libraries."""
    code = f"{use}; import sys; print(*(m for m in {HEAVY} if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_a_dry_run_loads_no_more_than_it_uses(tmp_path: Path) -> None:
    """A compiler, which torch's own counter of operations loads, takes longer than all the rest."""
    words = ["run", "--methods", "n2c", "--dry-run", "--store", str(tmp_path)]
    heavy = {"torch._dynamo", "sympy", "matplotlib", "skimage", "scipy.stats", "scipy.ndimage"}
    code = f"import sys; from bench.cli.main import main; main({words}); print(*({heavy} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == ""


def test_the_package_cannot_be_imported_a_second_time_through_itself() -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("bench.bench")
