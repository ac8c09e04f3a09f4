"""Split the names of folders, `{task}_{factor}`, into task and factor.

Task and factor may hold underscores, so a single name is ambiguous. The whole study decides: the cuts with the fewest
distinct tasks and factors are taken. Names that share no possible task or factor are decided independently.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

SEARCH_STEPS = 5_000
"""Cuts tried per group of related names; then the best so far is taken, and listed as a guess."""

MAX_CUTS = 50
"""In a name with more underscores only the last ones are tried."""

MAX_GROUP_CUTS = 20_000
"""Related names that have more cuts together are not searched: each is cut at its last underscore, as a guess."""

Cut = tuple[str, str | None]
Word = tuple[str, str]
"""("task" or "factor", name)."""


@dataclass(frozen=True, slots=True)
class SplitNames:
    """Task and factor of each name that is chosen; `guesses` are the names that have other cuts as good."""

    cuts: dict[str, Cut]
    guesses: tuple[str, ...]


def split_names(
    names: Iterable[str], tasks: Collection[str] | None = None, factors: Collection[str] | None = None
) -> SplitNames:
    """Return task and factor of each name.

    Parameters
    ----------
    names
        The names of the folders.
    tasks, factors
        The only possible tasks and factors; None for any.

    Returns
    -------
    SplitNames
        Of cuts that need equally few tasks and factors the one with the longer task names is taken, and the names
        concerned are listed as guesses.

    Examples
    --------
    >>> split_names(["Fill_Form_Easy", "Fill_Form_Hard", "Search_Easy"]).cuts["Fill_Form_Hard"]
    ('Fill_Form', 'Hard')
    """
    candidates = {name: _candidates(name, tasks, factors) for name in sorted(set(names))}
    candidates = {name: cuts for name, cuts in candidates.items() if cuts}
    cuts: dict[str, Cut] = {}
    guesses: list[str] = []
    for group in _related(candidates):
        if sum(len(candidates[name]) for name in group) > MAX_GROUP_CUTS:
            cuts |= {name: candidates[name][0] for name in group}
            guesses += [name for name in group if len(candidates[name]) > 1]
            continue
        best, sure = _search({name: candidates[name] for name in group})
        cuts |= best
        if not sure:
            guesses += [name for name in group if len(candidates[name]) > 1]
    return SplitNames(cuts, tuple(guesses))


def _candidates(name: str, tasks: Collection[str] | None, factors: Collection[str] | None) -> list[Cut]:
    """Return all cuts of a name, the longest task first."""
    positions = [position for position, character in enumerate(name) if character == "_"][-MAX_CUTS:]
    cuts: list[Cut] = [(name[:position], name[position + 1 :]) for position in reversed(positions)]
    cuts = [(task, factor) for task, factor in cuts if task and factor]
    if not cuts or (tasks is not None and name in tasks):
        cuts.insert(0, (name, None))
    return [
        (task, factor)
        for task, factor in cuts
        if (tasks is None or task in tasks) and (factors is None or factor in factors)
    ]


def _related(candidates: dict[str, list[Cut]]) -> list[list[str]]:
    """Return the names in groups, of which no two share a possible task or a possible factor."""
    leader = {name: name for name in candidates}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    first: dict[Word, str] = {}
    for name, cuts in candidates.items():
        for cut in cuts:
            for word in _words(cut):
                leader[find(name)] = find(first.setdefault(word, name))
    groups = defaultdict(list)
    for name in candidates:
        groups[find(name)].append(name)
    return list(groups.values())


def _prune(candidates: dict[str, list[Cut]]) -> dict[str, Cut]:
    """Return good cuts: drop tasks and factors, the rarest and shortest first, while every name keeps a cut."""
    uses: defaultdict[Word, set[str]] = defaultdict(set)
    for name, cuts in candidates.items():
        for cut in cuts:
            for word in _words(cut):
                uses[word].add(name)
    left = set(uses)

    def fits(cut: Cut) -> bool:
        return all(word in left for word in _words(cut))

    for word in sorted(uses, key=lambda word: (len(uses[word]), word[0] == "task", len(word[1]), word)):
        left.discard(word)
        if not all(any(fits(cut) for cut in candidates[name]) for name in uses[word]):
            left.add(word)
    return {name: next(cut for cut in cuts if fits(cut)) for name, cuts in candidates.items()}


def _words(cut: Cut) -> list[Word]:
    task, factor = cut
    return [("task", task)] if factor is None else [("task", task), ("factor", factor)]


def _search(candidates: dict[str, list[Cut]]) -> tuple[dict[str, Cut], bool]:
    """Return the best cuts of related names, by branch and bound, and whether no others are as good."""
    order = sorted(candidates, key=lambda name: (len(candidates[name]), name))
    used: Counter[Word] = Counter()
    best = _prune(candidates)
    best_cost = len({word for cut in best.values() for word in _words(cut)})
    best_length = sum(len(task) for task, _ in best.values())
    equals = steps = 0

    def price(cut: Cut) -> int:
        return sum(not used[word] for word in _words(cut))

    def options(depth: int) -> Iterator[Cut]:
        return iter(sorted(candidates[order[depth]], key=price))

    # depth first with an explicit stack: a study may have more names than Python has stack frames
    choices, chosen, costs = [options(0)], list[Cut](), [0]
    while choices:
        if len(chosen) == len(choices):  # back from the level below: undo its cut
            used.subtract(_words(chosen.pop()))
            costs.pop()
        cut = next(choices[-1], None)
        if cut is None or steps > SEARCH_STEPS:
            choices.pop()
            continue
        cost = costs[-1] + price(cut)
        if cost > best_cost:
            continue
        chosen.append(cut)
        costs.append(cost)
        used.update(_words(cut))
        if len(chosen) < len(order):
            steps += 1
            choices.append(options(len(chosen)))
            continue
        length = sum(len(task) for task, _ in chosen)
        equals = equals + 1 if cost == best_cost else 1
        if cost < best_cost or length > best_length:
            best, best_cost, best_length = dict(zip(order, chosen, strict=True)), cost, length

    return best, equals <= 1 and steps <= SEARCH_STEPS
