"""Checks the BUILD files with the standard library alone: no Pants, no network.

Knows the few target types this repository uses. The invariant: every Python file under `packages` and `tests`
is owned by a target, every dependency names a target or a file, and each distribution is called what its
pyproject.toml says.
"""

import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

DEFAULT_SOURCES = {
    "python_sources": ["*.py"],
    "python_tests": ["test_*.py"],
    "python_test_utils": ["conftest.py"],
}
KINDS = (*DEFAULT_SOURCES, "python_distribution", "python_requirements", "resource", "resources")
FOREIGN = {".git", ".cache", ".pants.d", ".venv", "dist", "build"}
OWNED = ("packages", "tests")

Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Target:
    """One target of one BUILD file; `folder` is relative to the root, "" at the root itself."""

    kind: str
    folder: str
    fields: Fields

    @property
    def address(self) -> str:
        """Return `folder:name`, the name being the folder's own when none is given."""
        return f"{self.folder}:{self.fields.get('name', Path(self.folder).name)}"

    def strings(self, field: str) -> list[str]:
        """Return a field that holds a list of strings, empty when it is not set."""
        value = self.fields.get(field, [])
        return [str(item) for item in value] if isinstance(value, list) else []

    def patterns(self) -> list[str]:
        """Return the globs that say which files the target owns; one with `!` takes files out again."""
        if "source" in self.fields:
            return [str(self.fields["source"])]
        return self.strings("sources") or DEFAULT_SOURCES.get(self.kind, [])

    def owns(self, root: Path) -> dict[str, set[Path]]:
        """Return the files that each glob adds to the target."""
        folder = root / self.folder
        globs = self.patterns()
        others = {path for glob in globs if glob.startswith("!") for path in folder.glob(glob[1:])}
        return {glob: set(folder.glob(glob)) - others for glob in globs if not glob.startswith("!")}


def ignore_rules(*_rules: object) -> None:
    """Stand in for the rules that only Pants enforces."""


def evaluate(build: Path, root: Path) -> list[Target]:
    """Run one BUILD file with recording functions in place of Pants' own."""
    found: list[Target] = []
    folder = "" if build.parent == root else build.parent.relative_to(root).as_posix()

    def recorder(kind: str) -> Callable[..., None]:
        def record(**fields: object) -> None:
            found.append(Target(kind, folder, fields))

        return record

    scope: Fields = {kind: recorder(kind) for kind in KINDS}
    scope["python_artifact"] = dict
    scope["__dependencies_rules__"] = ignore_rules
    scope["__builtins__"] = {}
    exec(compile(build.read_text(encoding="utf-8"), str(build), "exec"), scope)
    return found


def files(root: Path, pattern: str) -> Iterator[Path]:
    """Yield the files of the repository itself, leaving out environments and caches."""
    for path in sorted(root.rglob(pattern)):
        if path.is_file() and not FOREIGN & set(path.relative_to(root).parts):
            yield path


def address_of(dependency: str, folder: str) -> str:
    """Spell a dependency as `folder:name`, without the generated part after `#`."""
    path, _, name = dependency.split("#", maxsplit=1)[0].partition(":")
    if path.startswith("//"):
        path = path[2:]
    elif not path:
        path = folder
    elif path.startswith("."):
        path = normpath(f"{folder}/{path}")
    return f"{path}:{name or Path(path).name}"


def unmatched(target: Target, root: Path) -> Iterator[str]:
    """Report globs that match nothing."""
    for pattern, paths in target.owns(root).items():
        if not paths:
            yield f"{target.address}: nothing matches {pattern!r}"


def unknown(target: Target, known: set[str], root: Path) -> Iterator[str]:
    """Report dependencies that are neither a target nor a file."""
    for dependency in target.strings("dependencies"):
        if address_of(dependency, target.folder) not in known and not (root / dependency).is_file():
            yield f"{target.address}: unknown dependency {dependency!r}"


def misnamed(target: Target, root: Path) -> Iterator[str]:
    """Report a distribution that its pyproject.toml calls otherwise."""
    if target.kind != "python_distribution":
        return
    project = tomllib.loads((root / target.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    provided = target.fields["provides"]
    if provided != {"name": project["name"]}:
        yield f"{target.address}: provides {provided}, pyproject.toml says {project['name']!r}"


def unowned(targets: list[Target], root: Path) -> Iterator[str]:
    """Report Python files that no target owns."""
    owned = {path for target in targets for paths in target.owns(root).values() for path in paths}
    for path in files(root, "*.py"):
        if path.relative_to(root).parts[0] in OWNED and path not in owned:
            yield f"{path.relative_to(root)}: no target owns it"


def problems(root: Path) -> tuple[int, list[str]]:
    """Return how many targets there are and what is wrong with them."""
    targets = [target for build in files(root, "BUILD") for target in evaluate(build, root)]
    known = {target.address for target in targets}
    found = [
        problem
        for target in targets
        for problem in (*unmatched(target, root), *unknown(target, known, root), *misnamed(target, root))
    ]
    return len(targets), found + list(unowned(targets, root))


def main(arguments: list[str]) -> int:
    """Print what is wrong under the root given (or here), and return the exit status."""
    root = Path(arguments[0] if arguments else ".").resolve()
    count, found = problems(root)
    print(*found or [f"{count} targets: all good"], sep="\n")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
