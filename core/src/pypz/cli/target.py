"""Which pipeline a command is about: ``package.module:Class``, or a YAML or JSON file; and the parameters given with it."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import yaml

from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.origins import setting_from
from pypz.core.specs.instance import Internals
from pypz.core.specs.pipeline import Pipeline

FILES: Final = (".yaml", ".yml", ".json")

_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "~": None}


def load_pipeline(
    target: str, name: str | None = None, parameters: Iterable[str] = (), *, mock_nonexistent: bool = False
) -> Pipeline:
    """Make the pipeline that the user names; the current folder is put on ``sys.path``, so that user modules are found.

    Args:
        target: ``package.module:Class`` (or ``:instance``), or the name of a YAML or JSON file.
        name: Name of the pipeline; left out, what the file says, or the class's own name as in ``demo_pipeline``.
        parameters: ``NAME=VALUE`` each, set in this order.
        mock_nonexistent: Classes that a file names and that are not installed are mocked, for those who only look.

    Raises:
        ConfigurationError: The target, a value or a name makes no sense; tells the way out.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    is_file = target.lower().endswith(FILES) or (":" not in target and Path(target).is_file())
    pipeline = _from_file(Path(target), name, mock_nonexistent) if is_file else _from_module(target, name)
    for given in parameters:
        parameter, value = parse_parameter(given)
        try:
            with setting_from("-p"):
                pipeline.set_parameter(parameter, value)
        except TypeError as error:
            hint = f"; for text write -p \"{parameter}='{value}'\"" if isinstance(value, int | float | None) else ""
            raise ConfigurationError(f"-p {given!r}: {error}{hint}") from error
    return pipeline


def unexpected(pipeline: Pipeline, parameters: Iterable[str]) -> Iterator[str]:
    """Tell of parameters that nothing in the pipeline expects; they are allowed, but mostly a slip."""
    known = {name for instance in _all_of(pipeline) for name in instance.get_expected_parameters()}
    for given in parameters:
        name = parse_parameter(given)[0].lstrip("#>")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            yield f"-p {given!r}: nothing in the pipeline expects {name!r}" + (f"; meant {near[0]!r}?" if near else "")


def parse_parameter(given: str) -> tuple[str, Any]:
    """Split ``NAME=VALUE``; the value is a number, true, false, null, text, or YAML where it begins with [ { or a quote.

    >>> parse_parameter(">>channelLocation=localhost:9092")
    ('>>channelLocation', 'localhost:9092')
    >>> parse_parameter("hosts=[a, b]"), parse_parameter("count=3"), parse_parameter("version='3'")
    (('hosts', ['a', 'b']), ('count', 3), ('version', '3'))
    """
    name, found, text = given.partition("=")
    if not found or not name.strip():
        raise ConfigurationError(f"-p {given!r}: expected NAME=VALUE, as in -p '>>channelLocation=localhost:9092'")
    return name.strip(), _value(text.strip(), given)


def _value(text: str, given: str) -> Any:
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"-p {given!r}: {' '.join(str(error).split())}") from error
    if text in _WORDS:
        return _WORDS[text]
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?", text):
        return float(text)
    return text


def _from_file(path: Path, name: str | None, mock_nonexistent: bool) -> Pipeline:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: describes no pipeline, expected what `print(pipeline)` gives")
    if name is not None:
        text = yaml.safe_dump({**document, "name": name})
    pipeline = Pipeline.create_from_string(text, mock_nonexistent=mock_nonexistent)
    if not isinstance(pipeline, Pipeline):
        raise ConfigurationError(f"{path}: describes a {type(pipeline).__name__}, expected a pipeline")
    return pipeline


def _from_module(target: str, name: str | None) -> Pipeline:
    module_name, found, attribute = target.partition(":")
    if not found or not module_name or not attribute:
        raise ConfigurationError(f"{target!r} names no pipeline: expected package.module:Class, or a YAML file")
    module = _import(module_name)
    made: Any = module
    for part in attribute.split("."):
        made = getattr(made, part, None)
    if isinstance(made, Pipeline):
        if name not in (None, made.get_simple_name()):
            raise ConfigurationError(f"{target!r} is a pipeline already made, so --name has no effect; leave it out")
        return made
    if not (inspect.isclass(made) and issubclass(made, Pipeline)):
        raise ConfigurationError(f"{target!r} is no pipeline{_those_in(module, attribute)}")
    if inspect.isabstract(made):
        missing = ", ".join(sorted(made.__abstractmethods__))
        raise ConfigurationError(f"{target!r} is abstract: it leaves out {missing}")
    return made(name or default_name(made))


def default_name(pipeline_class: type[Pipeline]) -> str:
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
            hint = f"; modules are looked for in {Path.cwd()} and among the installed packages"
            raise ConfigurationError(f"there is no module {error.name!r}{hint}") from error
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename][1:]
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        raise ConfigurationError(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}{where}; --debug shows the traceback"
        ) from error


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


def _all_of(instance: Any) -> Iterator[Any]:
    yield instance
    for nested in Internals(instance).nested_instances.values():
        if not nested.__class__.__name__.endswith("Replica"):
            yield from _all_of(nested)
