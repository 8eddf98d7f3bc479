"""A value that nobody reads by accident: whatever prints, formats or logs it gets `(hidden)`; `reveal` is the one way.

It protects from carelessness, not from an attacker who runs code in this process.
"""

from typing import Any, Final, Generic, NoReturn, TypeVar

from doorward.hall.secrets import same

T = TypeVar("T")

SHOWN: Final = "(hidden)"


class Unprinted:
    """A mixin for records of such values: their printed form is their type's name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Hidden(Generic[T]):
    """A secret, or something personal, on its way to where it is used."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, _spec: str) -> str:
        return SHOWN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hidden):
            return NotImplemented
        mine, theirs = self._value, other.reveal()
        if isinstance(mine, str | bytes) and type(mine) is type(theirs):
            return same(mine, theirs)
        return bool(mine == theirs)

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> "Hidden[T]":
        return self

    def __deepcopy__(self, _memory: dict[int, Any]) -> "Hidden[T]":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a hidden value is not written down")
