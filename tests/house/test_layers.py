"""What core's modules may import and touch.

A module that is in no layer fails: give it a line in the table.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.repository import CORE, module_of, python_files, tree_of

# From the lowest to the highest. A module imports its own layer and the ones before it.
LAYERS = (
    {"errors", "redaction", "_version"},
    {"workers", "buffer", "checksum", "config", "uri", "steps", "logging_", "pace"},
    {"http", "fileio"},
    {"auth"},
    {"stores"},
    {"transfer", "relay", "operations", "batch", "oplog"},
    {"verbs", "aio", "stale", "tree", "processes", "source", "writer", "loading", "checkpoint", "formats", "cli"},
    {"_siblings", "_names"},
    {"", "compat", "__main__"},
)
# A step is a request in flight, and its types say so: the one place where a lower layer names a higher one.
NAMED_FOR_TYPES = {"steps": {"http.pool.Pool", "http.wire.Exchange"}}
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}

SOCKETS = {"socket", "ssl", "select", "selectors"}
LOCAL_STORES = {"stores.direct", "stores.drafts", "stores.folder", "stores.local", "stores.reach", "stores.tree_local"}
OPENERS = {"fileio", "oplog", *LOCAL_STORES}  # oplog writes its own log, not data
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
FILE_METHODS = {"read_bytes", "read_text", "write_bytes", "write_text"}

MODULES = [pytest.param(path, id=module_of(path) or "s3dlio") for path in python_files(CORE)]
each_module = pytest.mark.parametrize("path", MODULES)


def layer(module: str) -> int:
    """Return the layer of a module below `s3dlio`, which its first name decides."""
    return LEVELS[module.partition(".")[0]]


def without_types(tree: ast.Module) -> ast.Module:
    """Return the module without what only type checkers read."""
    body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))]
    return ast.Module(body=body, type_ignores=[])


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything imported, at the top or inside a function, for types or for use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports_of_core(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of core that are imported, named below `s3dlio`."""
    for full in imports(tree):
        if full == "s3dlio" or full.startswith("s3dlio."):
            name = full.removeprefix("s3dlio").removeprefix(".")
            yield name if name.partition(".")[0] in LEVELS else ""


def uses(tree: ast.AST, module: str, names: set[str]) -> list[int]:
    """Return the lines that read `module.name`, or import the name from the module, for one of the names."""
    lines: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            if isinstance(node.value, ast.Name) and node.value.id == module:
                lines.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == module:
            lines += [node.lineno for name in node.names if name.name in names]
    return lines


def opens(tree: ast.AST) -> list[int]:
    """Return the lines that open, read or write a file."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "open"]
    methods = [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in FILE_METHODS]
    return named + methods + uses(tree, "os", {"open"}) + uses(tree, "io", {"open", "FileIO", "open_code"})


@each_module
def test_every_module_is_in_a_layer(path: Path) -> None:
    assert module_of(path).partition(".")[0] in LEVELS


@each_module
def test_no_module_imports_a_higher_layer(path: Path) -> None:
    module = module_of(path)
    here = layer(module)
    run = {name for name in imports_of_core(without_types(tree_of(path))) if layer(name) > here}
    typed = {name for name in imports_of_core(tree_of(path)) if layer(name) > here}
    assert run == set(), f"{module} is in layer {here}"
    assert typed <= NAMED_FOR_TYPES.get(module, set()), f"{module} is in layer {here}"


@each_module
def test_core_imports_no_framework_and_no_sibling_at_the_top(path: Path) -> None:
    frameworks = {"torch", "jax", "tensorflow", "s3dlio_torch", "s3dlio_jax", "s3dlio_tf", "s3dlio_compat"}
    body = [node for node in tree_of(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
    top = ast.Module(body=list(body), type_ignores=[])
    assert not [name for name in imports(top) if name.partition(".")[0] in frameworks]


@each_module
def test_only_http_opens_a_socket(path: Path) -> None:
    sockets = [name for name in imports(tree_of(path)) if name.partition(".")[0] in SOCKETS]
    assert sockets == [] or module_of(path).partition(".")[0] == "http"


@each_module
def test_only_config_reads_the_environment(path: Path) -> None:
    assert uses(tree_of(path), "os", ENVIRONMENT) == [] or module_of(path) == "config"


@each_module
def test_only_the_local_stores_open_a_data_file(path: Path) -> None:
    assert opens(tree_of(path)) == [] or module_of(path) in OPENERS


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from s3dlio.http import wire", ["http.wire"]),
        ("import s3dlio.stores.s3", ["stores.s3"]),
        ("from s3dlio import errors", ["errors"]),
        ("from s3dlio import get", [""]),
        ("import s3dlio", [""]),
        ("def f():\n    from s3dlio.verbs import get", ["verbs.get"]),
        ("import s3dlio_torch", []),
    ],
)
def test_an_import_is_seen_however_it_is_written(line: str, found: list[str]) -> None:
    assert list(imports_of_core(ast.parse(line))) == found


@pytest.mark.parametrize("line", ["os.environ['A']", "os.getenv('A')", "from os import environ"])
def test_a_look_at_the_environment_is_seen_however_it_is_written(line: str) -> None:
    assert uses(ast.parse(line), "os", ENVIRONMENT) == [1]


@pytest.mark.parametrize("line", ["open(p)", "os.open(p, 0)", "path.read_bytes()", "io.open(p)", "from os import open"])
def test_an_opened_file_is_seen_however_it_is_written(line: str) -> None:
    assert opens(ast.parse(line)) == [1]


def test_an_import_for_types_alone_is_told_apart() -> None:
    tree = ast.parse("import s3dlio.uri\nif TYPE_CHECKING:\n    import s3dlio.http")
    assert list(imports_of_core(without_types(tree))) == ["uri"]
    assert list(imports_of_core(tree)) == ["uri", "http"]
