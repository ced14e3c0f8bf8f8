"""What a shell offers at the key Tab: pipelines of the current folder, and parameters of the one named.

Nothing of the user's is run for the names of pipelines: sources are only read. Parameters need the pipeline itself.
"""

from __future__ import annotations

import ast
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

MOST_FILES: Final = 200
"""Python files that are read for an answer (chosen: some 0.1 s)."""

MOST_BYTES: Final = 200_000
"""Size of a file that is read (chosen)."""


def complete_pipeline(incomplete: str) -> list[str]:
    """Pipelines by ``module:Class``, and YAML and JSON files, that begin with what is typed."""
    return sorted(name for name in {*_classes(), *_files(incomplete)} if name.startswith(incomplete))


def complete_parameter(ctx: Any, incomplete: str) -> list[str]:
    """``>name=``, ``>>name=``, and behind the first letter ``operator.name=``, of the pipeline that stands there already."""
    if "=" in incomplete:
        return []
    from pypz.cli.given import described_parameters
    from pypz.cli.target import load_pipeline

    # Behind an option that has no value yet the parser leaves the arguments where they are.
    target = ctx.params.get("target") or ctx.params.get("first") or next(iter(ctx.args), None)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            pipeline = load_pipeline(target, mock_nonexistent=True)
        except Exception:  # noqa: BLE001 - a completion says nothing rather than an error
            return []
    found = set()
    for level, instance, name, _ in described_parameters(pipeline):
        found.add(f"{'>' * level}{name}=")
        if incomplete:
            found.add(f"{instance.get_full_name()}.{name}=".partition(".")[2])
    return sorted(name for name in found if name.startswith(incomplete))


def _files(incomplete: str) -> Iterator[str]:
    folder = Path(incomplete).parent if "/" in incomplete else Path()
    for ending in ("yaml", "yml", "json"):
        yield from (str(path) for path in folder.glob(f"*.{ending}"))


def _classes() -> Iterator[str]:
    """Classes whose bases, as far as the same file tells, end in Pipeline."""
    paths = [path for depth in ("*.py", "*/*.py", "*/*/*.py") for path in Path().glob(depth)]
    for path in paths[:MOST_FILES]:
        module = [*path.parts[:-1], *([] if path.stem == "__init__" else [path.stem])]
        if not module or not all(part.isidentifier() for part in module) or path.stat().st_size > MOST_BYTES:
            continue
        for name in pipelines_in(path):
            yield f"{'.'.join(module[1:] if module[0] == 'src' else module)}:{name}"


def pipelines_in(path: Path) -> list[str]:
    """Names of the pipeline classes in a Python file, without running it; [] for a file that is none."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    known = {"Pipeline"}
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).rsplit(".", 1)[-1] in known for base in node.bases):
            known.add(node.name)
            found.append(node.name)
    return found
