"""Walk the hash chain, and name the first thing that is wrong with it (guide §2.3's "detect tampering").

What is found: an entry that was altered in any column, taken out, put in, put elsewhere, or replaced by
another with a seal of its own; and with the end that is kept beside the journal, or one that was noted
before, that the latest entries were cut off. What is not: whoever may write to both the log and the schema
``workbench``, and computes every later seal anew, leaves a chain that is whole; only a noted end tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from workbench.audit.chain import Head
from workbench.audit.links import Chain, Link
from workbench.murmurant.importers import AUDIT_PRUNED, REDONE, RESTORED, UNDONE


@dataclass(frozen=True)
class Break:
    """One place where the chain does not hold.

    Attributes
    ----------
    kind : str
        ``altered``, ``missing``, ``inserted``, ``reordered``, ``replaced``, ``cut``, ``unreadable`` or
        ``unchained``.
    number : int or None
        The place.
    entry : str or None
        The entry's id, where there is one.
    what : str
        In words.
    """

    kind: str
    number: int | None
    entry: str | None
    what: str


@dataclass(frozen=True)
class Noted:
    """An end of the chain as somebody noted it earlier, outside the database."""

    number: int
    hash: str
    at: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """What a walk along the chain found.

    Attributes
    ----------
    status : {"pass", "fail", "not run"}
        Not run: nothing is chained here, or nothing tells whether the end was cut off.
    entries : int
        How many were verified.
    breaks : tuple of Break
        In order of place, the first first.
    first, last : Link or None
        Where it begins and ends.
    pruned : Link or None
        The entry that says what was pruned before the first.
    restores : tuple of Link
        Level 2 restores: each cut the chain to what its snapshot had.
    unchained : int
        Entries of the workbench from before there was a chain, which nothing protects.
    open : tuple of str
        What could not be verified, and why.
    """

    status: str
    entries: int
    breaks: tuple[Break, ...] = ()
    first: Link | None = None
    last: Link | None = None
    pruned: Link | None = None
    restores: tuple[Link, ...] = ()
    unchained: int = 0
    open: tuple[str, ...] = ()


def verify_chain(chain: Chain, noted: Noted | None = None) -> Verdict:
    """Verify a chain against itself, its kept end, and one that was noted earlier.

    Parameters
    ----------
    chain : Chain
        As `workbench.audit.links.read_chain` read it.
    noted : Noted, optional
        The end as an earlier verification told it.
    """
    links, twins = _one_to_a_place(chain.links)
    anchor = _anchor(links) if links else None
    restores = tuple(each for each in links if each.action == RESTORED)
    open_questions: list[str] = []
    breaks = [
        Break("unreadable", None, entry, f"Entry {entry} says it has a place in the chain, and names none.")
        for entry in chain.unreadable
    ]
    breaks += [*twins, *_altered(links), *_gaps(links, anchor), *_misfits(links, chain.links)]
    breaks += _strangers(chain, links)
    if chain.hidden:
        open_questions.append(f"Whether the end was cut off: {chain.hidden}")
    elif chain.head is not None:
        breaks += _against_kept(links, chain.head)
    elif noted is None and links:
        open_questions.append(
            "Whether the end was cut off: it is not kept here. --against an earlier answer would tell."
        )
    if noted is not None:
        found, question = _against_noted(links, anchor, restores, noted)
        breaks += found
        open_questions += question
    if not links and not breaks:
        open_questions.append(
            "No entry carries a chain here: the workbench has logged nothing since it keeps one."
        )
    breaks.sort(key=lambda each: (each.number is None, each.number or 0, each.kind, each.entry or ""))
    return Verdict(
        status="fail" if breaks else "not run" if open_questions else "pass",
        entries=len(chain.links),
        breaks=tuple(breaks),
        first=links[0] if links else None,
        last=links[-1] if links else None,
        pruned=anchor,
        restores=restores,
        unchained=len(chain.unchained),
        open=tuple(open_questions),
    )


def _one_to_a_place(links: tuple[Link, ...]) -> tuple[list[Link], list[Break]]:
    """Settle who holds each place: the sealed one, that the next follows; the others were put in."""
    places: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        places[link.number].append(link)
    followed = {link.previous for link in links}
    kept, breaks = [], []
    for number, claims in sorted(places.items()):
        holder = max(claims, key=lambda each: (each.sealed, each.hash in followed))
        kept.append(holder)
        breaks += [
            Break(
                "inserted",
                number,
                each.entry,
                f"Entry {each.entry} was inserted: place {number} is that of entry {holder.entry}.",
            )
            for each in claims
            if each is not holder
        ]
    return kept, breaks


def _altered(links: list[Link]) -> Iterator[Break]:
    for link in links:
        if not link.sealed:
            yield Break(
                "altered",
                link.number,
                link.entry,
                f"Entry {link.entry} ({link.action}) was altered: its seal is not that of what it says now.",
            )


def _gaps(links: list[Link], anchor: Link | None) -> Iterator[Break]:
    if links and links[0].number > 1 and anchor is None and links[0].action != RESTORED:
        yield _missing(1, links[0].number - 1)
    for one, other in pairwise(links):
        # A snapshot restored in place, older than the kept end: its own entry goes on from that end.
        if other.number > one.number + 1 and other.action != RESTORED:
            yield _missing(one.number + 1, other.number - 1)


def _missing(first: int, last: int) -> Break:
    which = f"Entry {first} is" if first == last else f"Entries {first} to {last} are"
    return Break("missing", first, None, f"{which} missing from the chain.")


def _misfits(links: list[Link], everything: tuple[Link, ...]) -> Iterator[Break]:
    """Find who follows another than the one before: that one was replaced, or they changed places."""
    holders = {each.hash: each for each in everything}
    followed = {each.previous for each in everything}
    for one, other in pairwise(links):
        if other.number != one.number + 1 or other.previous == one.hash:
            continue
        if not (one.sealed and other.sealed):
            continue  # that one of them was altered is said already
        real = holders.get(other.previous or "")
        if real is not None:
            yield Break(
                "reordered",
                other.number,
                other.entry,
                f"Entry {other.entry} stands at place {other.number}, and follows entry {real.entry} of place"
                f" {real.number}: the order was changed.",
            )
        else:
            # Whom the next one follows is genuine, and so the one before it is not.
            genuine = other.hash in followed or other is links[-1]
            wrong, said = (
                (one, f"not the one that entry {other.entry} follows")
                if genuine
                else (other, f"followed by nobody, and does not follow entry {one.entry}")
            )
            yield Break(
                "replaced",
                wrong.number,
                wrong.entry,
                f"Entry {wrong.entry} at place {wrong.number} is {said}: it was replaced, with a seal of its own.",
            )


def _strangers(chain: Chain, links: list[Link]) -> Iterator[Break]:
    """Find entries in the workbench's name, from after there was a chain, that have no place in it."""
    since = min((each.at for each in links if each.at is not None), default=None)
    for entry, at in chain.unchained:
        if since is not None and at is not None and at > since:
            yield Break(
                "unchained",
                None,
                entry,
                f"Entry {entry} says it is the workbench's and has no place in the chain: it was put in,"
                " was stripped of its place, or is of an older version.",
            )


def _against_kept(links: list[Link], head: Head) -> Iterator[Break]:
    last = links[-1] if links else None
    if last is None or last.number < head.number:
        first = last.number + 1 if last else 1
        which = f"entry {first} is" if first == head.number else f"entries {first} to {head.number} are"
        yield Break("cut", first, None, f"The end was cut off: {which} missing.")
    elif last.number > head.number:
        yield Break(
            "inserted",
            head.number + 1,
            None,
            f"The chain goes on after its end: entry {head.number} was the last that the workbench wrote.",
        )
    elif last.hash != head.hash and last.sealed:
        yield Break(
            "replaced",
            last.number,
            last.entry,
            f"Entry {last.entry} at the end is not the one that was written last ({head.entry}): it was replaced.",
        )


def _against_noted(
    links: list[Link], anchor: Link | None, restores: tuple[Link, ...], noted: Noted
) -> tuple[list[Break], list[str]]:
    found = next((each for each in links if each.number == noted.number), None)
    if found is not None and found.hash == noted.hash:
        return [], []
    if any(_explains(each, links, noted) for each in restores):
        return [], []
    if found is None and links and noted.number < links[0].number:
        if anchor is not None and (noted.number, noted.hash) == _through(anchor):
            return [], []
        return [], [
            f"Whether entry {noted.number} is the one that was noted: it was pruned, and the noted end with it."
        ]
    if found is None:
        return [Break("cut", noted.number, None, f"Entry {noted.number}, noted as the end, is missing.")], []
    what = (
        f"Entry {noted.number} is not the one that was noted: the chain was made anew from there, or before."
    )
    return [Break("replaced", noted.number, found.entry, what)], []


def _explains(restore: Link, links: list[Link], noted: Noted) -> bool:
    """Whether a restore took away what was noted: it is later, and stands at its place, before, or right behind."""
    before = max((each.number for each in links if each.number < restore.number), default=0)
    later = noted.at is None or restore.at is None or restore.at > noted.at
    return restore.sealed and later and (restore.number <= noted.number or before < noted.number)


def _anchor(links: list[Link]) -> Link | None:
    """Return the entry that says that what stood before the first was pruned, if one does and still holds."""
    first = links[0]
    if first.number == 1:
        return None
    for each in reversed(links):
        if (
            each.action == AUDIT_PRUNED
            and each.sealed
            and _through(each) == (first.number - 1, first.previous)
        ):
            return None if _taken_back(each, links) else each
    return None


def _through(anchor: Link) -> tuple[int, str | None]:
    number = anchor.facts.get("through", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 14 else 0, anchor.facts.get(
        "through_hash"
    )


def _taken_back(act: Link, links: list[Link]) -> bool:
    """Whether the plan that wrote an entry was undone, and the undoing not undone in its turn."""
    plan = act.facts.get("plan")
    undoing = [
        each
        for each in links
        if each.number > act.number
        and each.action in {UNDONE, REDONE}
        and each.facts.get("undone_plan") == plan
    ]
    return bool(plan) and any(not _taken_back(each, links) for each in undoing)
