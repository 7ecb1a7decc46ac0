"""A record is found by its key; the key knows code by hand-raised revisions alone. So code that changes must say so.

revisions.json lists, for the loop and for each method, the digests of the syntax trees that give the numbers of
each revision. `python tests/test_revisions.py` records new revisions and new methods;
with `--same-numbers` also changed code that gives the numbers of its revision still.
"""

import argparse
import ast
import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # a checkout need not be installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec
import pytest

import bench.compute
from bench import datasets, methods
from bench.methods import registry
from bench.protocol import units

FILE = Path(__file__).with_name("revisions.json")
Digests = dict[str, dict[str, list[str]]]  # loop or method -> revision -> digests of its code

# What every number goes through, by room. Methods' own files and what else they import of methods/ come below.
LOOP = {
    bench.compute: ("training", "scoring", "metrics"),
    datasets: ("sampling", "seeds"),
    methods: ("base",),
}
SHARED = {"unet", "base", "registry"}  # of methods/; the registry makes no numbers


def tree(node: Any) -> Any:
    """A syntax tree without positions, docstrings, signatures' types, and empty fields (these differ by Python)."""
    if isinstance(node, list):
        return [tree(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    body = fields.get("body")
    if isinstance(body, list) and body and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        text = body[0].value if isinstance(body[0], ast.Expr) else None
        fields["body"] = body[1:] if isinstance(text, ast.Constant) and isinstance(text.value, str) else body
    fields.pop("returns", None)
    if isinstance(node, ast.arg):  # a class's annotations stay: they are the fields of its configuration
        fields.pop("annotation")
    return [type(node).__name__, *([name, tree(value)] for name, value in fields.items() if value not in (None, []))]


def digest(paths: list[Path]) -> str:
    trees = {path.name: tree(ast.parse(path.read_bytes())) for path in sorted(paths, key=lambda path: path.name)}
    return hashlib.sha256(msgspec.json.encode(trees)).hexdigest()[:16]


def room(package: Any) -> Path:
    return Path(package.__file__).parent


def imported(path: Path) -> set[Path]:
    """The module and the other modules of methods/ it stands on, shared ones apart."""
    found, todo = set(), {path}
    while todo:
        found.add(current := todo.pop())
        for node in ast.walk(ast.parse(current.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                todo |= {path.with_name(f"{name}.py") for name in names if name not in SHARED} - found
    return found


def current() -> dict[str, tuple[str, str]]:
    """Loop or method -> its revision, the digest of its code."""
    loop = [room(package) / f"{name}.py" for package, names in LOOP.items() for name in names]
    found = {"loop": (str(units.LOOP_REVISION), digest(loop))}
    for name, method in registry.methods().items():
        if method.__module__.startswith(f"{methods.__name__}."):  # not plug-ins
            found[name] = (str(method.revision), digest([*imported(Path(inspect.getfile(method)))]))
    return found


def recorded() -> Digests:
    return msgspec.json.decode(FILE.read_bytes(), type=Digests) if FILE.is_file() else {}


@pytest.mark.parametrize("name", sorted(current()))
def test_code_that_changes_raises_its_revision(name: str) -> None:
    revision, code = current()[name]
    where = "LOOP_REVISION in bench/protocol/units.py" if name == "loop" else f"`revision` of method {name}"
    known = recorded().get(name, {})
    assert revision in known, (
        f"{name} is new or its revision {revision} is: record it with `python tests/test_revisions.py`"
    )
    assert code in known[revision], (
        f"the code of {name} has changed (digest {code}), its revision has not. If its numbers change, raise {where}; "
        f"if they do not, run `python tests/test_revisions.py --same-numbers`"
    )


def test_revisions_only_rise() -> None:
    for name, (revision, _) in current().items():
        assert max(map(int, recorded()[name])) == int(revision)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("def f(x):\n    'Another docstring.'\n    return x + 1  # why", True),
        ("def f(x: int) -> int:\n\n    return (x + 1)", True),
        ("def f(x):\n    'Doc.'\n    return x + 2", False),
        ("def f(x):\n    'Doc.'\n    return x - 1", False),
        ("def f(x, y=0):\n    'Doc.'\n    return x + 1", False),
    ],
)
def test_only_meaning_changes_a_digest(change: str, same: bool, tmp_path: Path) -> None:
    (path := tmp_path / "f.py").write_text("def f(x):\n    'Doc.'\n    return x + 1")
    before = digest([path])
    path.write_text(change)
    assert (digest([path]) == before) == same


def test_a_method_stands_on_the_file_of_the_method_it_extends() -> None:
    assert {path.name for path in imported(room(methods) / "n2n.py")} == {"n2n.py", "n2c.py"}


def main() -> None:
    options = argparse.ArgumentParser(description="Records the code of every revision in tests/revisions.json.")
    options.add_argument("--same-numbers", action="store_true", help="changed code gives its revision's numbers still")
    same_numbers = options.parse_args().same_numbers
    known = recorded()
    for name, (revision, code) in current().items():
        codes = known.setdefault(name, {}).setdefault(revision, [])
        if code in codes:
            continue
        if codes and not same_numbers:
            sys.exit(f"{name} has changed within revision {revision}: raise it, or say --same-numbers")
        codes.append(code)
        print(f"{name}, revision {revision}: {code}")
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(known, order="sorted"), indent=1) + b"\n")


if __name__ == "__main__":
    main()
