"""Digests of source code by its meaning: comments, docstrings, layout and the types of signatures do not count."""

import ast
import hashlib
import json
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


def tree(node: Any) -> Any:
    """A syntax tree as nested lists without positions, docstrings, signatures' types and empty fields."""
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


def digest(code: Mapping[str, ast.AST | list[ast.stmt]]) -> str:
    """SHA-256 of named syntax trees."""
    trees = {name: tree(node) for name, node in sorted(code.items())}
    return hashlib.sha256(json.dumps(trees).encode()).hexdigest()


class Import(NamedTuple):
    """One imported name: what the importing file calls it, and where it comes from."""

    local: str
    module: str  # dotted
    symbol: str = ""  # empty: the module itself


def imports(code: ast.AST, package: str) -> Iterator[Import]:
    """All imports of a file, also those inside functions; `package` is the dotted name that relative ones start at."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (Import(alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (Import(alias.asname or alias.name, module, alias.name) for alias in node.names)


def file_digest(file: Path) -> str:
    """The digest of a plug-in's file and of all that it imports, directly or not, from its own folder or package."""
    root = file.parent
    while (root / "__init__.py").is_file() and root.parent != root:
        root = root.parent
    installed = root in {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    own = file.relative_to(root).parts[0]  # of an installed plug-in only this module or package: the rest is others'
    found, todo = dict[str, ast.AST](), [file]
    while todo:
        path = todo.pop()
        name = path.relative_to(root).as_posix()
        if name in found:
            continue
        found[name] = code = ast.parse(path.read_bytes())
        for one in imports(code, ".".join(path.relative_to(root).parent.parts)):
            parts = [*filter(None, one.module.split(".")), one.symbol]
            if parts[0] == "bench" or (installed and parts[0] != own):
                continue  # our own code has revisions
            todo += _files(root, [*filter(None, parts)])
    return digest(found)


def _files(root: Path, parts: list[str]) -> Iterator[Path]:
    """The files that are run when this dotted name is imported: every package's `__init__.py`, and the module."""
    for length in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:length])
        yield from (path for path in (place.with_name(f"{place.name}.py"), place / "__init__.py") if path.is_file())
