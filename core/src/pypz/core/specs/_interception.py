"""Names by attribute: an instance made inside another one's method waits for the attribute it is assigned to.

``self.reader = Reader()`` needs no name: the class call gives a placeholder, and the assignment builds the real
object with the attribute's name and its owner as context. `pypz.core.specs._collections` does it for lists and dicts.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from types import FrameType
from typing import Any, Final, TypeVar, cast

from pypz.core.commons import origins
from pypz.core.commons.errors import InstanceError
from pypz.core.commons.parameters import ExpectedParameter, check_scope, parameters_of

InterceptedInstanceType = TypeVar("InterceptedInstanceType")

_COMPREHENSIONS: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
"""Frames of their own before Python 3.12; what counts is the method around them."""


class RegisteredInterface:
    """Mark of the classes that a description lists as an instance's types: those with this as a direct base."""


class InterceptedInstance:
    """Stands for an instance that was not yet assigned to an attribute of its owner."""

    def __init__(self, instance_name: str | None, context_class: type, *args: Any, **kwargs: Any) -> None:
        self.name = instance_name
        self.context_class = context_class
        self.args = args
        self.kwargs = kwargs
        self._built: Any = None

    def build(self, owner: Any, attribute: str, nested_type: type | None) -> Any:
        """Make the real object, named as given or like the attribute; assigned twice it stays one object."""
        if self._built is None:
            is_nested = nested_type is not None and issubclass(self.context_class, nested_type)
            self._built = self.context_class(
                attribute if self.name is None else self.name,
                *self.args,
                context=owner if is_nested else None,
                **self.kwargs,
            )
        return self._built

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InstanceError(
            f"this {self.context_class.__qualname__} is only a placeholder and has no '{name}' yet: inside methods of "
            "an instance, assign it, or the whole list that it is in, to an attribute first (self.x = ...), or make it "
            "with context=None"
        )

    def __repr__(self) -> str:
        return f"<placeholder of {self.context_class.__qualname__}, not yet assigned to an attribute>"


class InstanceInitInterceptor(ABCMeta):
    """Metaclass of all instances; see the module."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        for attribute, value in namespace.items():
            if isinstance(value, ExpectedParameter):
                check_scope(name, attribute)
        return super().__new__(mcs, name, bases, namespace, **kwargs)

    def __call__(
        cls: type[InterceptedInstanceType], name: str | None = None, *args: Any, **kwargs: Any
    ) -> InterceptedInstanceType:
        if "context" not in kwargs and _is_inside_instance(sys._getframe(1)):
            placeholder: Any = InterceptedInstance(name, cls, *args, **kwargs)
            return cast("InterceptedInstanceType", placeholder)
        instance: Any = type.__call__(cls, name, *args, **kwargs)
        instance._pypz_nest_all()
        origins.begin(instance, parameters_of(instance))
        instance.__on_init_finished__(*args, **kwargs)
        return cast("InterceptedInstanceType", instance)


def is_instance(value: object) -> bool:
    """Tell whether ``value`` is a real instance: no placeholder and no proxy of a replica."""
    return isinstance(type(value), InstanceInitInterceptor)


def _is_inside_instance(frame: FrameType | None) -> bool:
    while frame is not None and (
        frame.f_code.co_name in _COMPREHENSIONS or frame.f_globals.get("__name__") == "typing"  # Generic[...](...)
    ):
        frame = frame.f_back
    return frame is not None and is_instance(frame.f_locals.get("self"))
