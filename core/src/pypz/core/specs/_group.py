"""Groups: an operator and its replicas, or the plugins of the same name in each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypz.core.specs.instance import Instance


class InstanceGroup(ABC):
    """What members of a group know of it."""

    @abstractmethod
    def get_group_size(self) -> int:
        """Give the number of members, 1 when not replicated."""

    @abstractmethod
    def get_group_index(self) -> int:
        """Give the own index; 0 is the principal."""

    @abstractmethod
    def get_group_name(self) -> str | None:
        """Give the full name of the principal; None when not replicated."""

    @abstractmethod
    def get_group_principal(self) -> Instance[Any] | None:
        """Give the member of index 0."""

    @abstractmethod
    def is_principal(self) -> bool:
        """Tell whether this is the member of index 0."""
