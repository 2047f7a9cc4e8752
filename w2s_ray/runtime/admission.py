"""Which of the waiting calls may go to Ray now, by our own account of the devices.

First come, first served, without overtaking: Ray itself lets small tasks pass a large one for as long as small ones
come, so that a large request (a gang of workers) starves. Ray holds only what fits at once; the rest waits here, where
it can still be withdrawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

EPSILON = 1e-9  # fractions of devices add up in floating point

Demand = Mapping[str, float]
T = TypeVar("T")


@dataclass
class Admission(Generic[T]):
    """A queue before a fixed amount of devices."""

    total: dict[str, float]
    _free: dict[str, float] = field(init=False)
    _waiting: deque[tuple[T, Demand]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._free = dict(self.total)

    def resize(self, total: Mapping[str, float]) -> None:
        """Nodes came or went: what runs keeps what it has."""
        for name in {*total, *self.total}:
            self._free[name] = self._free.get(name, 0.0) + total.get(name, 0.0) - self.total.get(name, 0.0)
        self.total = dict(total)

    @property
    def free(self) -> Mapping[str, float]:
        """Of each device."""
        return self._free

    def waiting(self) -> Iterator[T]:
        """From the head of the queue."""
        return (item for item, _ in self._waiting)

    def pop(self) -> T:
        """The head of the queue, which waits no more."""
        return self._waiting.popleft()[0]

    def add(self, item: T, demand: Demand, *, first: bool = False) -> None:
        """At the end of the queue, or before all others."""
        entry = (item, {name: amount for name, amount in demand.items() if amount > 0})
        self._waiting.appendleft(entry) if first else self._waiting.append(entry)

    def admit(self) -> list[T]:
        """Take from the head of the queue what fits, and stop at the first that does not."""
        admitted: list[T] = []
        while self._waiting and all(
            self._free.get(name, 0.0) + EPSILON >= amount for name, amount in self._waiting[0][1].items()
        ):
            item, demand = self._waiting.popleft()
            for name, amount in demand.items():
                self._free[name] -= amount
            admitted.append(item)
        return admitted

    def shortage(self) -> tuple[T, dict[str, tuple[float, float]]] | None:
        """The first that waits, and of each device that it lacks how much it needs and how much is free."""
        if not self._waiting:
            return None
        item, demand = self._waiting[0]
        free = {name: max(0.0, self._free.get(name, 0.0)) for name in demand}
        return item, {name: (amount, free[name]) for name, amount in demand.items() if free[name] + EPSILON < amount}

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, demand: Demand) -> bool:
        """More for what runs already, if it is free."""
        if any(self._free.get(name, 0.0) + EPSILON < amount for name, amount in demand.items()):
            return False
        for name, amount in demand.items():
            self._free[name] = self._free.get(name, 0.0) - amount
        return True

    def release(self, demand: Demand) -> None:
        """What an admitted item took is free again."""
        for name, amount in demand.items():
            if amount > 0:
                self._free[name] = self._free.get(name, 0.0) + amount

    def withdraw(self) -> list[T]:
        """Empty the queue."""
        items = [item for item, _ in self._waiting]
        self._waiting.clear()
        return items
