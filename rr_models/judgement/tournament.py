"""Rank many by comparing two at a time: who has to meet whom next, and who stands where, from the results so
far.

A pure state machine; knows nothing of pictures or critics. `due` names the duels that can be fought now,
`observe` takes one result, and `ranking` is complete once nothing is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log2
from types import MappingProxyType

KNOCKOUT, ROUND_ROBIN = "knockout", "round robin"
FORMATS = (KNOCKOUT, ROUND_ROBIN)
"""Knockout: the winner goes on, and for every further place those who have lost to nobody left meet again.
Round robin: everyone meets everyone."""

Pair = tuple[int, int]


def duels(count: int, places: int = 1, form: str = KNOCKOUT) -> int:
    """How many duels the first `places` of `count` take at most: for a knockout count - 1, and about
    log2(count) more for every further place; for a round robin count * (count - 1) / 2, whatever the
    places."""
    _check(count, places, form)
    if form == ROUND_ROBIN:
        return count * (count - 1) // 2
    further = ceil(log2(count)) - 1 if count > 1 else 0
    places = min(places, count)
    most = count - 1 + sum(min(further, max(0, count - 1 - taken)) for taken in range(1, places))
    return min(most, count * (count - 1) // 2)  # nobody meets the same one twice


@dataclass(frozen=True)
class Tournament:
    """A tournament of the numbers 0 to `count` - 1, of which the lower is the favourite: it goes on where a
    duel ends in a tie.

    `results` holds, for each pair (lower, higher) that has met, the points that the lower one won by: above 0
    it has won, below 0 it has lost, 0 is a tie.
    """

    count: int
    places: int = 1
    form: str = KNOCKOUT
    results: Mapping[Pair, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self):
        _check(self.count, self.places, self.form)

    @property
    def due(self) -> tuple[Pair, ...]:
        """The pairs, lower number first, that have to meet next; they do not depend on each other."""
        if self.form == ROUND_ROBIN:
            every = ((a, b) for a in range(self.count) for b in range(a + 1, self.count))
            return tuple(pair for pair in every if pair not in self.results)
        return self._knockout()[1]

    @property
    def done(self) -> bool:
        return not self.due

    @property
    def ranking(self) -> tuple[int, ...]:
        """All numbers, best first. Of an unfinished tournament, and behind the last place of a knockout:
        those placed, then all others as they were named."""
        if self.form == ROUND_ROBIN:
            return tuple(sorted(range(self.count), key=self._record))
        placed = self._knockout()[0]
        return (*placed, *(number for number in range(self.count) if number not in placed))

    def observe(self, pair: Pair, margin: float) -> Tournament:
        """The tournament after a duel of `pair`, which the first of the two won by `margin` points (below 0:
        it lost)."""
        a, b = pair
        if (min(pair), max(pair)) not in self.due:
            raise ValueError(f"the pair {pair} is not due; due are: {self.due or 'none'}.")
        return replace(self, results={**self.results, (min(a, b), max(a, b)): margin if a < b else -margin})

    def _record(self, number: int) -> tuple:
        """How a number stands in a round robin: by wins (a tie is half of one), then by points, then by
        name."""
        margins = [
            margin if number == low else -margin
            for (low, high), margin in self.results.items()
            if number in (low, high)
        ]
        wins = sum((margin > 0) + (margin == 0) / 2 for margin in margins)
        return (-wins, -sum(margins), number)

    def _knockout(self) -> tuple[tuple[int, ...], tuple[Pair, ...]]:
        """Those placed so far, and what is due for the next place."""
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
        """Who comes out of this part of the bracket, those placed left out; None for nobody, and while a duel
        of it is still due."""
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
    """Fight it out. `meet(a, b)` says by how many points a won against b: 0 for a tie, below 0 if it lost."""
    while due := tournament.due:
        for pair in due:
            tournament = tournament.observe(pair, meet(*pair))
    return tournament


def _bracket(numbers: list[int]) -> list[int]:
    """The numbers in an order in which halving it again and again lets the favourites meet late."""
    if len(numbers) <= 2:
        return numbers
    return _bracket(numbers[::2]) + _bracket(numbers[1::2])


def _check(count: int, places: int, form: str) -> None:
    if count < 1 or places < 1:
        raise ValueError(f"a tournament needs one entry and one place at least, not {count} and {places}.")
    if form not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {form!r}.")
