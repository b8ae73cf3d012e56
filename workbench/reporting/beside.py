"""Two records, or more, side by side: what differs, why they match, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

import pandas as pd
from markupsafe import Markup

from workbench.duplicates.pairs import Found
from workbench.duplicates.records import Beside
from workbench.reporting.charts import COMPARED
from workbench.reporting.masking import DOTS, mask
from workbench.reporting.tables import DASH, LONGEST, Shown, heading, listed, text_of

_BEFORE = 24  # characters shown before the first difference of long texts
_WORTH_TELLING = 0.05  # bits
_MARKED = 200  # characters up to which the differing ones are marked one by one
_EMPTY = "empty"
_Row = tuple[str, str, list[Markup]]
"""A field's name, whether its values differ, and the values."""

_MARKS = {"differs": "≠", "in part": "◐", "same": "="}


def pairs_to_review(found: Found) -> pd.DataFrame:
    """Lay every pair out as one row, for people to choose from.

    Returns
    -------
    pandas.DataFrame
        ``decision`` (a dash before there is one), ``probability`` in percent, what people know the left and the
        right one by, ``why``, ``against``, ``decided_by``, ``remark``, and ``pair_ids`` (both ids, the row's key).
    """
    known = found.records.set_index("id")
    columns: dict[str, Any] = {
        "decision": list(found.pairs["decision"]),
        "percent_sure": [
            None if share != share else round(share * 100, 1) for share in found.pairs["probability"]
        ],
    }
    for side in ("left", "right"):
        of_side = known.reindex(found.pairs[side])
        if {"first_name", "last_name"} & set(known.columns):
            parts = [of_side[each].fillna("") for each in ("first_name", "last_name") if each in of_side]
            columns[f"{side}_name"] = [
                " ".join(filter(None, map(str, each))) for each in zip(*parts, strict=True)
            ]
        for name in known.columns:
            if name in _TOLD:
                columns[f"{side}_{name}"] = list(of_side[name])
    for name in ("why", "against", "decided_by", "remark"):
        columns[name] = list(found.pairs[name])
    columns["pair_ids"] = list(found.pairs["left"] + " " + found.pairs["right"])
    return pd.DataFrame(columns)


_TOLD = ("email", "title", "start", "event_id", "member_id", "status")


def records_side_by_side(beside: Beside, unmask: bool = False) -> Shown:
    """Lay records side by side, field by field, what differs marked by a sign, a word and its letters.

    What is masked is still compared as it is: two addresses that look alike behind their dots say that they differ.
    Fields that are empty in all of them are named below.
    """
    fields = [*_fields(beside.told, unmask), *_fields(beside.records, unmask)]
    rows = [each for each in fields if each[1] != _EMPTY]
    empty = [name for name, verdict, _ in fields if verdict == _EMPTY]
    counts = {word: sum(verdict == word for _, verdict, _ in rows) for word in ("differs", "in part")}
    caption = f"Side by side: {counts['differs']} fields differ, {counts['in part']} are filled in part"
    titles = _titles(beside)
    rows += _referring(beside)
    text = [
        caption,
        *(f"{name}: {verdict}: {' | '.join(map(_plain, cells))}" for name, verdict, cells in rows),
    ]
    html = Markup(
        '<div class="wb-table wb-beside"><p class="wb-caption">{}</p>'
        '<div class="wb-scroll" role="region" tabindex="0" aria-label="{}">{}</div>{}</div>'
    ).format(caption, caption, _table(titles, rows), _left_empty(empty))
    return Shown(html, "\n".join(text))


def pair_evidence(found: Found, left: str, right: str) -> Shown:
    """Say why two records match, what speaks against it, and what was said of them before."""
    of_it = found.pairs[(found.pairs["left"] == left) & (found.pairs["right"] == right)]
    if of_it.empty:
        return listed({"why they match": "Nothing brought these two together."})
    each = of_it.iloc[0]
    share = each["probability"]
    facts = {
        "how sure": f"{share:.1%}" if share == share else "not told as a probability",
        "why they match": each["why"] or DASH,
        "what speaks against it": each["against"] or "nothing that was compared",
    }
    if (chance := found.chance(left, right)) is not None:
        bits = {words: float(chance.get(f"weight_{name}", 0)) for name, words in COMPARED.items()}
        told = [f"{words} {worth:+.1f}" for words, worth in bits.items() if abs(worth) >= _WORTH_TELLING]
        facts["in bits of evidence"] = "; ".join(told)
    if each["decision"]:
        facts["said of them"] = f"{each['decision']}, by {each['decided_by']}"
    return listed(facts)


def not_reviewed(found: Found, members: Sequence[str]) -> list[str]:
    """Return the records that are in a cluster with some others, and were not called the same as they."""
    near = {each for cluster in found.clusters["members"] if set(cluster) & set(members) for each in cluster}
    return sorted(near - set(members))


def _fields(frame: pd.DataFrame, unmask: bool) -> Iterator[_Row]:
    """Yield every field but the key: its name, whether its values differ, and the values."""
    shown = mask(frame, unmask)
    for name in frame.columns:
        if name != "id":
            verdict = _verdict(frame[name].tolist())
            yield heading(name), verdict, _cells([text_of(each, name) for each in shown[name]], verdict)


def _verdict(values: Sequence[Any]) -> str:
    """Tell whether values differ; a value beside nothing is no contradiction, and so no difference of that kind."""
    said = {str(each) for each in values if text_of(each).strip() not in ("", DASH)}
    if not said:
        return _EMPTY
    if len(said) > 1:
        return "differs"
    return "in part" if any(str(each) not in said for each in values) else "same"


def _titles(beside: Beside) -> list[Markup]:
    titles = []
    for number, each in enumerate(beside.ids, 1):
        kept = " (would stay)" if each == beside.canonical else ""
        titles.append(Markup('Record {}{}<br><span class="wb-id">{}</span>').format(number, kept, each))
    return titles


def _referring(beside: Beside) -> list[_Row]:
    """Count what refers to each record, all together and by the table it is in."""
    rows = [("Rows that refer to it", "", [_cell(f"{beside.associations[each]:,}") for each in beside.ids])]
    columns = [beside.referring[name].tolist() for name in ("child", "column", "id", "rows")]
    counted = {(child, column, key): int(count) for child, column, key, count in zip(*columns, strict=True)}
    places = sorted({(child, column) for child, column, _ in counted})
    for child, column in places:
        numbers = [counted.get((child, column, each), 0) for each in beside.ids]
        rows.append((f"in {child}.{column}", "", [_cell(f"{number:,}") for number in numbers]))
    return rows


def _cells(texts: list[str], verdict: str) -> list[Markup]:
    """Cut texts so that what differs is seen, and mark its letters where they are few."""
    if verdict != "differs" or DOTS in "".join(texts):
        return [_cell(each) for each in texts]
    start = max(_agreeing(texts) - _BEFORE, 0) if max(map(len, texts)) > LONGEST else 0
    cut = [("…" if start else "") + each[start:] for each in texts]
    if len(cut) == 2 and max(map(len, cut)) <= _MARKED:
        return _marked(*cut)
    return [_cell(each) for each in cut]


def _agreeing(texts: list[str]) -> int:
    """Return how many letters all texts begin with."""
    for at, letters in enumerate(zip(*texts, strict=False)):
        if len(set(letters)) > 1:
            return at
    return min(map(len, texts))


def _marked(one: str, other: str) -> list[Markup]:
    left, right = Markup(), Markup()
    mark = Markup('<mark class="wb-differs">{}</mark>')
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        left += one[a:b] if kind == "equal" else mark.format(one[a:b]) if b > a else ""
        right += other[c:d] if kind == "equal" else mark.format(other[c:d]) if d > c else ""
    return [left, right]


def _cell(text: str) -> Markup:
    if len(text) <= LONGEST:
        return Markup("{}").format(text)
    return Markup('<span title="{}">{}</span>').format(
        text[:1000] + ("…" if len(text) > 1000 else ""), text[: LONGEST - 1] + "…"
    )


def _table(titles: list[Markup], rows: Sequence[_Row]) -> Markup:
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(each) for each in ("Field", "", *titles))
    body = Markup("").join(_row(*each) for each in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def _row(name: str, verdict: str, cells: list[Markup]) -> Markup:
    sign = Markup('<span aria-hidden="true">{}</span> {}').format(_MARKS[verdict], verdict) if verdict else ""
    told = Markup("").join(Markup("<td>{}</td>").format(each) for each in cells)
    return Markup(
        '<tr class="wb-row-{}"><th scope="row">{}</th><td class="wb-verdict">{}</td>{}</tr>'
    ).format(verdict.replace(" ", "-") or "count", name, sign, told)


def _left_empty(empty: Sequence[str]) -> Markup:
    if not empty:
        return Markup("")
    return Markup('<p class="wb-note">Empty in all of them: {}</p>').format(", ".join(empty))


def _plain(cell: Markup) -> str:
    return cell.striptags()
