"""Which pipeline a command is about: ``package.module:Class``, or a YAML or JSON file."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import yaml

from pypz.cli.completion import pipelines_in
from pypz.cli.given import SeveralFaultsError, set_given
from pypz.cli.settings import read_settings
from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.commons.origins import setting_from
from pypz.core.specs._documents import DocumentError, parse
from pypz.core.specs.instance import Instance
from pypz.core.specs.pipeline import Pipeline

FILES: Final = (".yaml", ".yml", ".json")


def load_pipeline(
    target: str | None,
    name: str | None = None,
    parameters: Iterable[str] = (),
    *,
    mock_nonexistent: bool = False,
    faults: list[str] | None = None,
) -> Pipeline:
    """Make the pipeline that the user names; the current folder, that of the
    settings, and ``src`` in them are put on ``sys.path``, so that user modules are found.

    Args:
        target: ``package.module:Class`` (or ``:instance``), or the name of a YAML or JSON file; None: as the settings say.
        name: Name of the pipeline; left out, what the file says, or the class's own name as in ``demo_pipeline``.
        parameters: ``NAME=VALUE`` each, set in this order, behind those of the settings.
        mock_nonexistent: Classes that a file names and that are not installed are mocked, for those who only look.
        faults: Takes what is wrong with parameters, so that those who tell everything can go on with the others.

    Raises:
        ConfigurationError: The target, values or names make no sense; tells the way out, of all parameters at once.
    """
    made = _load(target, name, parameters, Pipeline, mock_nonexistent, faults)
    assert isinstance(made, Pipeline)
    return made


def load_instance(target: str | None, name: str | None = None, parameters: Iterable[str] = ()) -> Instance[Any]:
    """As `load_pipeline`; a class may also be that of an operator or a plugin, abstract ones with their gaps closed."""
    return _load(target, name, parameters, Instance, mock_nonexistent=True)


def _load(
    target: str | None,
    name: str | None,
    parameters: Iterable[str],
    kind: type[Any],
    mock_nonexistent: bool,
    faults: list[str] | None = None,
) -> Instance[Any]:
    settings = read_settings()
    sources = (folder / part for folder in (settings.folder, Path.cwd()) for part in ("src", "."))
    for source in dict.fromkeys(str(path) for path in sources if path.is_dir()):
        if source not in sys.path:
            sys.path.insert(0, source)
    if target is None:
        if settings.pipeline is None:
            raise ConfigurationError(
                "no pipeline is named: expected package.module:Class or a YAML file, or `pipeline = ...` in pypz.toml"
            )
        target, name = settings.pipeline, name or settings.name
        target = str(settings.folder / target) if _is_file(target) else target
    made: Instance[Any]
    made = _from_file(Path(target), name, mock_nonexistent) if _is_file(target) else _from_module(target, name, kind)
    found = set_given(made, parameters)
    if faults is not None:
        faults += found
    elif found:
        raise SeveralFaultsError(found)
    return made


def split_names(first: str | None, second: str | None) -> tuple[str | None, str | None]:
    """Tell pipeline and what is named in it apart: alone, `first` is no pipeline where the settings name one."""
    is_pipeline = first is None or ":" in first or _is_file(first)
    if second is None and not is_pipeline and read_settings().pipeline is not None:
        return None, first
    return first, second


def _is_file(target: str) -> bool:
    return target.lower().endswith(FILES) or (
        ":" not in target and not target.endswith(".py") and Path(target).is_file()
    )


def _from_file(path: Path, name: str | None, mock_nonexistent: bool) -> Pipeline:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = parse(text)
    except DocumentError as error:  # file, line and column as editors take them
        where = f"{path}" if error.line is None else f"{path}:{error.line}:{error.column}"
        what = "cannot be taken" if error.is_yaml else "is no YAML"
        raise ConfigurationError(f"{where}: {what}: {error.problem}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: describes no pipeline, expected what `print(pipeline)` gives")
    if name is not None:
        text = yaml.safe_dump({**document, "name": name})
    try:
        pipeline = Pipeline.create_from_string(text, mock_nonexistent=mock_nonexistent, disable_auto_update=True)
        if not isinstance(pipeline, Pipeline):
            raise ConfigurationError(f"describes a {type(pipeline).__name__}, expected a pipeline")
        with setting_from(str(path)):
            pipeline.update(text)
    except PypzError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return pipeline


def _from_module(target: str, name: str | None, kind: type[Any]) -> Instance[Any]:
    module_name, found, attribute = target.partition(":")
    if not found or not module_name or not attribute:
        raise ConfigurationError(
            f"{target!r} names no pipeline: expected package.module:Class, or a YAML file{_meant_by(target)}"
        )
    module = _import(module_name)
    made: Any = module
    for part in attribute.split("."):
        made = getattr(made, part, None)
    if isinstance(made, kind):
        if name not in (None, made.get_simple_name()):
            raise ConfigurationError(f"{target!r} is a pipeline already made, so --name has no effect; leave it out")
        return cast("Instance[Any]", made)
    if not (inspect.isclass(made) and issubclass(made, kind)):
        raise ConfigurationError(f"{target!r} is no pipeline{_those_in(module, attribute)}")
    if inspect.isabstract(made):
        if kind is Pipeline:
            missing = ", ".join(sorted(getattr(made, "__abstractmethods__", ())))
            raise ConfigurationError(f"{target!r} is abstract: it leaves out {missing}")
        made = _with_gaps_closed(made)
    make: Callable[[str], Instance[Any]] = made
    return make(name or default_name(made))


def _with_gaps_closed(abstract: Any) -> Any:
    """A class to look at: what it leaves abstract does nothing."""
    gaps = dict.fromkeys(abstract.__abstractmethods__, lambda self, *args, **kwargs: None)
    names = {"__module__": abstract.__module__, "__qualname__": abstract.__qualname__}
    return type(abstract)(abstract.__name__, (abstract,), {**gaps, **names})


def default_name(pipeline_class: type[Any]) -> str:
    """Name of a pipeline that was given none.

    >>> class DemoPipeline(Pipeline): ...
    >>> default_name(DemoPipeline)
    'demo_pipeline'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", pipeline_class.__name__).lower()


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            dotted = name.removesuffix(".py").replace("/", ".").removeprefix("src.")
            hint = f"; meant {dotted!r}?" if dotted != name else ""
            hint += f"; modules are looked for in {Path.cwd()}, in src there, and among the installed packages"
            raise ConfigurationError(f"there is no module {error.name!r}{hint}") from error
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename][1:]
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        raise ConfigurationError(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}{where}; --debug shows the traceback"
        ) from error


def _meant_by(target: str) -> str:
    """What a Python file, a module or a dotted class was probably meant to be."""
    parts = list(Path(target).with_suffix("").parts) if target.endswith(".py") else target.split(".")
    parts = parts[1:] if parts[:1] == ["src"] else parts
    for module, wanted in ((parts, ""), (parts[:-1], parts[-1] if parts else "")):
        paths = [Path(source, *module[:-1], f"{module[-1]}.py") for source in ("src", ".")] if module else []
        classes = next(filter(None, map(pipelines_in, paths)), [])
        if classes:
            near = difflib.get_close_matches(wanted, classes, 1) or classes
            return f"; meant {'.'.join(module)}:{near[0]}?"
    return "; name the class in it, as in module:Class" if target.endswith(".py") else ""


def _those_in(module: ModuleType, wanted: str) -> str:
    found = [
        key
        for key, value in vars(module).items()
        if isinstance(value, Pipeline)
        or (inspect.isclass(value) and issubclass(value, Pipeline) and value is not Pipeline)
    ]
    if not found:
        return f"; there is none in {module.__name__}"
    near = difflib.get_close_matches(wanted, found, 1) or found
    return f"; meant {module.__name__}:{near[0]}?"
