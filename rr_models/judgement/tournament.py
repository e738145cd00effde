"""Rank by pairwise comparisons: which pairs to compare next, and the ranking from the results so far.

A pure state machine; knows nothing of images or critics. `due` lists the pairs to compare now, `observe`
takes one result, and `ranking` is complete once nothing is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log2
from types import MappingProxyType

KNOCKOUT, ROUND_ROBIN = "knockout", "round robin"
FORMATS = (KNOCKOUT, ROUND_ROBIN)
"""Knockout: winners advance; for every further place, those who lost only to placed ones meet. Round robin:
all pairs are compared."""

Pair = tuple[int, int]


def max_comparisons(count: int, places: int = 1, form: str = KNOCKOUT) -> int:
    """The most comparisons that the first `places` of `count` take: for a knockout count - 1, and about
    log2(count) more for every further place; for a round robin count * (count - 1) / 2."""
    _check(count, places, form)
    if form == ROUND_ROBIN:
        return count * (count - 1) // 2
    further = ceil(log2(count)) - 1 if count > 1 else 0
    places = min(places, count)
    most = count - 1 + sum(min(further, max(0, count - 1 - taken)) for taken in range(1, places))
    return min(most, count * (count - 1) // 2)  # no pair is compared twice


@dataclass(frozen=True)
class Tournament:
    """A tournament of the numbers 0 to `count` - 1. The lower number is the favourite: it advances on a tie.

    `results` holds the margin of each compared pair (lower, higher): above 0 the lower number won, below 0 it
    lost, 0 is a tie.
    """

    count: int
    places: int = 1
    form: str = KNOCKOUT
    results: Mapping[Pair, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self):
        _check(self.count, self.places, self.form)

    @property
    def due(self) -> tuple[Pair, ...]:
        """The pairs to compare next, lower number first; they are independent of each other."""
        if self.form == ROUND_ROBIN:
            every = ((a, b) for a in range(self.count) for b in range(a + 1, self.count))
            return tuple(pair for pair in every if pair not in self.results)
        return self._knockout()[1]

    @property
    def done(self) -> bool:
        return not self.due

    @property
    def ranking(self) -> tuple[int, ...]:
        """All numbers, best first. In an unfinished tournament, and after the last place of a knockout, the
        unplaced ones follow in ascending order."""
        if self.form == ROUND_ROBIN:
            return tuple(sorted(range(self.count), key=self._record))
        placed = self._knockout()[0]
        return (*placed, *(number for number in range(self.count) if number not in placed))

    def observe(self, pair: Pair, margin: float) -> Tournament:
        """The tournament after a comparison of `pair`; `margin` is that of its first number. ValueError for a
        pair that is not due."""
        a, b = pair
        if (min(pair), max(pair)) not in self.due:
            raise ValueError(f"the pair {pair} is not due; due are: {self.due or 'none'}.")
        return replace(self, results={**self.results, (min(a, b), max(a, b)): margin if a < b else -margin})

    def _record(self, number: int) -> tuple:
        """Sort key in a round robin: wins (a tie counts half), then the sum of margins, then the number."""
        margins = [
            margin if number == low else -margin
            for (low, high), margin in self.results.items()
            if number in (low, high)
        ]
        wins = sum((margin > 0) + (margin == 0) / 2 for margin in margins)
        return (-wins, -sum(margins), number)

    def _knockout(self) -> tuple[tuple[int, ...], tuple[Pair, ...]]:
        """The numbers placed so far, and the pairs due for the next place."""
        bracket = _bracket(list(range(self.count)))
        placed: list[int] = []
        while len(placed) < min(self.places, self.count):
            due: list[Pair] = []
            best = self._best(bracket, set(placed), due)
            if due or best is None:
                return tuple(placed), tuple(due)
            placed.append(best)
        return tuple(placed), ()

    def _best(self, bracket: Sequence[int], placed: set[int], due: list[Pair]) -> int | None:
        """The winner of this part of the bracket, without those placed; None if all are placed, or while one
        of its pairs is due."""
        if len(bracket) == 1:
            return None if bracket[0] in placed else bracket[0]
        middle, waiting = (len(bracket) + 1) // 2, len(due)
        a, b = (self._best(half, placed, due) for half in (bracket[:middle], bracket[middle:]))
        if a is None or b is None or len(due) > waiting:
            return a if b is None else b
        low, high = min(a, b), max(a, b)
        if (low, high) not in self.results:
            due.append((low, high))
            return None
        return low if self.results[low, high] >= 0 else high


def play(tournament: Tournament, meet: Callable[[int, int], float]) -> Tournament:
    """Play the whole tournament. `meet(a, b)` returns the margin of a over b: 0 for a tie, below 0 if a
    lost."""
    while due := tournament.due:
        for pair in due:
            tournament = tournament.observe(pair, meet(*pair))
    return tournament


def _bracket(numbers: list[int]) -> list[int]:
    """The numbers in bracket order: halving it repeatedly lets the favourites meet late."""
    if len(numbers) <= 2:
        return numbers
    return _bracket(numbers[::2]) + _bracket(numbers[1::2])


def _check(count: int, places: int, form: str) -> None:
    if count < 1 or places < 1:
        raise ValueError(f"a tournament needs one entry and one place at least, not {count} and {places}.")
    if form not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {form!r}.")
