"""From what the API server refuses about an object to the operator and the setting of the user that it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pypz.deployers.k8s.api import ApiError, Manifest
from pypz.deployers.k8s.parameters import KubernetesParameter
from pypz.deployers.k8s.plan import FULL_NAME, PipelinePlan

_QUANTITY: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
"""A quantity of the Kubernetes API (resource.Quantity)."""
_QUOTED_FIELD: Final = re.compile(r'(unknown|duplicate) field "([^"]+)"')
_OTHER_TYPE: Final = re.compile(r"cannot unmarshal (\w+) into Go struct field \w+\.(spec\.[\w.]+) of type ([\w.\[\]]+)")
_JSON_TYPES: Final = {
    "array": "a list",
    "bool": "true or false",
    "number": "a number",
    "object": "a mapping",
    "string": "a text",
}
_SETTINGS: Final = (
    (r"spec\.template\.spec\.containers\[0\]\.image(?=$)", "operatorImageName"),
    (r"spec\.template\.spec\.containers\[0\]\.securityContext", "containerSecurityContext"),
    (r"spec\.template\.spec\.containers\[0\]\.", ""),
    (r"spec\.template\.spec\.initContainers", "containers"),
    (r"spec\.template\.spec\.securityContext", "podSecurityContext"),
    (r"spec\.template\.spec\.affinity\.", ""),
    (r"spec\.template\.spec\.", ""),
    (r"spec\.template\.metadata\.", ""),
    (r"metadata\.(?=labels)", ""),
    (r"spec\.(?=backoffLimit)", ""),
)
"""Where a setting ends up in a Job, and what it is called by the user; the first that fits."""


def explained(error: ApiError, manifest: Manifest, plan: PipelinePlan) -> ApiError:
    """Tell a refusal in the user's words: which operator, which setting; others are given back as they are.

    Args:
        error: What the server said when asked to make the object.
        manifest: The object.
        plan: Whose object it is.
    """
    if error.status not in (400, 422) or manifest["kind"] in ("ConfigMap", "Secret"):
        return error
    where = manifest["metadata"]["annotations"][FULL_NAME]
    operator = next((o for o in plan.operators if f"{plan.name}.{o.name}" == where), None)
    settings = KubernetesParameter() if operator is None else operator.settings
    faults = list(dict.fromkeys(_faults(error, manifest, settings)))
    if not faults:
        return error
    return ApiError(
        f"{where}: Kubernetes refuses {'; '.join(faults)}. These are settings of the operator's pods: its parameter "
        "'kubernetes', or its own parameters where it is a KubernetesOperator",
        status=error.status,
        reason=error.reason,
    )


def _faults(error: ApiError, manifest: Manifest, settings: KubernetesParameter) -> Iterator[str]:
    for field, message in error.causes:
        yield f"{_setting(field, manifest, settings)}: {message}"
    for given, field, wanted in _OTHER_TYPE.findall(str(error)):
        name = field.removeprefix("spec.template.spec.").removeprefix("containers.")
        yield f"{name}: {_JSON_TYPES.get(given, given)}, expected {_json_type(wanted)}"
    for how, field in _QUOTED_FIELD.findall(str(error)):
        yield f"{_setting(field, manifest, settings)}: {how} field"
    if "quantities must match" in str(error):
        for place, value in _quantities(settings.__dict__):
            if not isinstance(value, int | float) and not _QUANTITY.fullmatch(str(value)):
                yield f"{place}: {value!r} is no quantity, expected a number with or without a unit, such as '500m' or '256Mi'"


def _json_type(wanted: str) -> str:
    """What JSON calls a type of the server's (Go)."""
    if wanted.startswith("[]"):
        return "a list"
    is_number = re.fullmatch(r"u?int\d*", wanted)
    return "a whole number" if is_number else _JSON_TYPES.get(wanted, f"a mapping ({wanted.removeprefix('v1.')})")


def _setting(field: str, manifest: Manifest, settings: KubernetesParameter) -> str:
    """The user's name of a field of the Job; places in lists are counted in the user's own list."""
    for pattern, name in _SETTINGS:
        found = re.match(pattern, field)
        if found:
            return _counted(name + field[found.end() :], field, manifest, settings)
    return field


def _counted(path: str, field: str, manifest: Manifest, settings: KubernetesParameter) -> str:
    found = re.match(r"(\w+)\[(\d+)\]", path)
    theirs = getattr(settings, found[1], None) if found else None
    if not found or not isinstance(theirs, list):
        return path
    all_of_it: Any = manifest
    for key, index in re.findall(
        r"(\w+)(?:\[(\d+)\])?", field[: field.rindex(f"{found[1]}[")] if found[1] in field else ""
    ):
        all_of_it = all_of_it[key] if not index else all_of_it[key][int(index)]
    ours = len(all_of_it.get(found[1], theirs)) - len(theirs) if isinstance(all_of_it, Mapping) else 0
    return f"{found[1]}[{int(found[2]) - ours}]{path[found.end() :]}"


def _quantities(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of the settings that must be a quantity, by its place."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{place}.{key}" if place else str(key)
            if key in ("limits", "requests") and isinstance(inner, Mapping):
                yield from ((f"{here}.{name}", quantity) for name, quantity in inner.items())
            elif key in ("sizeLimit", "divisor"):
                yield here, inner
            else:
                yield from _quantities(inner, here)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _quantities(inner, f"{place}[{index}]")
