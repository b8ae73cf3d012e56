"""The model of a match, as data: how likely each agreement is for one person, for strangers, and for housemates.

It is Fellegi and Sunter's, twice. A pair of records is one person twice, two strangers, or two people of one household;
what housemates share (surname, phone, often an address or the day they joined) would otherwise count as proof that they
are one. So pairs that share two of surname, phone and mailbox are weighed against housemates, all others against strangers.

Each share says where it comes from. None was fitted to the demo: they are round figures from what is published or
counted, so that a club of 200 needs no training. `Model.read` takes others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.documents import write_whole
from workbench.duplicates.matching.engines import Engine
from workbench.duplicates.matching.fields import FIELDS, KINDS, Comparison, Level, further_comparisons
from workbench.errors import UsageError

DEFAULT_THRESHOLD = 0.7
"""From this probability on a pair is worth a person's look: more than two in three are one person."""

OFFER_THRESHOLD = 0.99
"""From this probability on, and with nothing serious against it, a pair is offered without review."""

PETS = (150.0, 50.0, 18.0, 6.0)
"""How much more often one person has two forms of a name than two strangers have them: classes."""


Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[float, Field(gt=0)]


class Shares(BaseModel):
    """What takes the place of a level's shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    m: Share | None = None
    u: Count | None = None
    home: Count | None = None


class Model(BaseModel):
    """What is assumed of members, duplicates and households; a frozen value.

    Attributes
    ----------
    duplicates_each : float
        How many further records of themselves a member has, on average. The issue that a migration
        leaves behind is about one duplicate in a hundred members.
    housemates_each : float
        How many housemates a member has among the members, on average: 15% in households of three.
    census_weight : float
        As how many members the shipped census of names counts beside the members themselves, so that in a
        small club Smith is as frequent as it is, and a misspelling as rare.
    exchanged : float
        How often first name and surname are in each other's place.
    shares : dict
        By comparison and label, the shares that take the place of those shipped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    duplicates_each: Count = 0.02
    housemates_each: Count = 0.30
    census_weight: Count = 10_000.0
    exchanged: Share = 0.01
    shares: dict[str, dict[str, Shares]] = {}

    @model_validator(mode="after")
    def _names_what_is_there(self) -> Self:
        known = {
            comparison.name: {level.label for level in comparison.levels} for comparison in comparisons(self)
        }
        kinds = {f"any {kind}": kind for kind in KINDS}
        of_kinds = {level.label for further in further_comparisons(kinds, 2) for level in further.levels}
        known["joined"] |= of_kinds  # where days of joining are days of birth
        for name, labels in self.shares.items():
            for label in labels:
                if label not in known.get(name, of_kinds):
                    raise ValueError(f"there is no {name}: {label}; `Model.write` writes what there is")
        return self

    @classmethod
    def shipped(cls) -> Model:
        """Return the model with the documented weights."""
        return cls()

    @classmethod
    def read(cls, path: str | Path) -> Model:
        """Read trained parameters from a JSON file; what it does not name is as shipped.

        Raises
        ------
        UsageError
            When there is no such file, it is not JSON, or a parameter is unknown or out of range.
        """
        try:
            return cls.model_validate_json(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The model {path} cannot be read: {error}.", _ADVICE) from error
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)[:5]
            text = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
                for problem in problems
            )
            raise UsageError(f"The model {path} is not one: {text}.", _ADVICE) from error

    def write(self, path: str | Path) -> None:
        """Write every parameter as JSON, to be changed and read again; not what each club says for itself."""
        shares: dict[str, dict[str, Shares]] = {}
        for comparison, elsewhere in zip(comparisons(self), comparisons(self, 1_000, 1.0), strict=True):
            for level, other in zip(comparison.levels, elsewhere.levels, strict=True):
                shares.setdefault(comparison.name, {})[level.label] = Shares(
                    m=level.m if level.m == other.m else None,
                    u=level.u if level.u == other.u and not level.counted else None,
                    home=level.home,
                )
        for name, labels in self.shares.items():
            own = shares.setdefault(name, {})
            own |= {
                label: own.get(label, given).model_copy(update=given.model_dump(exclude_none=True))
                for label, given in labels.items()
            }
        whole = self.model_copy(update={"shares": shares})
        text = whole.model_dump_json(indent=2, exclude_none=True) + "\n"
        write_whole(Path(path), text.encode(), "model")


_ADVICE = "Model.shipped().write(FILE) writes a file that has every parameter, to start from."

# Conditions that several levels speak of. Two first names exchanged with the surnames, as they stand or misspelt:
_CROSSED = "(l.first_name = r.last_name AND l.last_name = r.first_name AND l.first_name <> r.first_name)"
_SAME_NAMES = "(l.first_name = r.first_name AND l.last_name = r.last_name)"
_HALF_CROSSED = """((l.first_name = r.last_name AND l.first_name IS DISTINCT FROM r.first_name AND (l.last_name IS NULL OR r.first_name IS NULL))
    OR (l.last_name = r.first_name AND l.last_name IS DISTINCT FROM r.last_name AND (l.first_name IS NULL OR r.last_name IS NULL)))"""
_ALIAS = "coalesce(array_contains(l.kin, r.first_name), FALSE)"


def _part(left: str, right: str) -> str:
    """Whether one of two names is some of the other's words."""
    padded = (
        f"(' ' || {left} || ' '), (' ' || {right} || ' ')",
        f"(' ' || {right} || ' '), (' ' || {left} || ' ')",
    )
    within = " OR ".join(f"strpos({pair}) > 0" for pair in padded)
    return f"((strpos({left}, ' ') > 0) <> (strpos({right}, ' ') > 0) AND ({within}))"


def _typo(column: str, edits: int = 1, least: int = 2) -> str:
    shorter = f"least(length(l.{column}), length(r.{column})) >= {least}"
    return f"({shorter} AND damerau_levenshtein(l.{column}, r.{column}) = {edits})"


def _similar(column: str) -> str:
    closer = f"jaro_winkler_similarity(l.{column}, r.{column}) >= 0.9199999"
    return f"(least(length(l.{column}), length(r.{column})) > 3 AND ({_typo(column, 2, 6)} OR {closer}))"


def _unlike(column: str) -> str:
    """Whether two names have no likeness at all: what the further levels would call different leaves early."""
    single = f"strpos(l.{column}, ' ') = 0 AND strpos(r.{column}, ' ') = 0"
    far = f"jaro_winkler_similarity(l.{column}, r.{column}) < 0.6999999"
    return f"({single} AND least(length(l.{column}), length(r.{column})) > 4 AND {far})"


def _squeezed(column: str) -> str:
    return f"(l.{column} = r.{column} OR replace(l.{column}, ' ', '') = replace(r.{column}, ' ', ''))"


def _likeness(left: str, right: str) -> str:
    close = f"jaro_winkler_similarity({left}, {right}) >= 0.9199999"
    return f"(damerau_levenshtein({left}, {right}) <= 1 OR {_part(left, right)} OR {close})"


_NEARLY_CROSSED = f"""(l.first_name <> r.first_name AND l.last_name <> r.last_name AND (
    (l.first_name = r.last_name AND ({_likeness("l.last_name", "r.first_name")} OR coalesce(array_contains(l.kin_last, r.first_name), FALSE)))
    OR (l.last_name = r.first_name AND ({_likeness("l.first_name", "r.last_name")} OR coalesce(array_contains(l.kin, r.last_name), FALSE)))))"""
_SHORT = """((starts_with(l.first_name, r.first_name) AND length(r.first_name) > 2 AND length(l.first_name) > length(r.first_name) + 1)
    OR (starts_with(r.first_name, l.first_name) AND length(l.first_name) > 2 AND length(r.first_name) > length(l.first_name) + 1))"""


def _first_name(model: Model) -> Comparison:
    """Compare first names, also with the surnames where the two are in each other's place.

    How often one person's first name stands in two files alike, by nickname or misspelt follows what record-linkage
    studies of name files report (some 80% alike, 5 to 10% nicknames, 5% typing errors). Housemates of one name are
    father and son; two Johns marry or meet rarely: 0.3%.
    """
    known = "l.first_known AND r.first_known"
    return Comparison(
        "first_name",
        f"l.first_name IS NULL OR r.first_name IS NULL OR {_HALF_CROSSED}",
        (
            Level("first name and surname exchanged", _CROSSED, 0.64 * model.exchanged, 1, 2.5e-5, "names", 1e-12, sure=True),
            Level("first name and surname exchanged (misspelt)", _NEARLY_CROSSED, 0.05 * model.exchanged, 1, 2.2e-6, "names", 1e-11, sure=True),
            Level("same first name and surname", _SAME_NAMES, 0.64, 1, 0.0025, "both_names", sure=True),
            Level("same first name", _squeezed("first_name"), 0.76, 1, 0.003, "first_name", 1e-4, sure=True),
            *(
                Level(f"nickname of the first name ({place})", f"array_contains(l.pets, '{place}' || r.first_name)", 0.1, 0.1 / factor, 0.1 * (0.25 / factor + 0.0045), sure=True)
                for place, factor in enumerate(PETS)
            ),
            Level("another first name", f"{_unlike('first_name')} AND NOT {_SHORT}", 0.004, 0.99),
            Level("part of the first name", _part("l.first_name", "r.first_name"), 0.02, 0.16, 0.005, "first_name", 1e-4, sure=True),
            Level("first name cut short", _SHORT, 0.01, 0.1, 0.001, "first_name", 1e-3, sure=True),
            Level("initial of the first name", "least(length(l.first_name), length(r.first_name)) = 1 AND substr(l.first_name, 1, 1) = substr(r.first_name, 1, 1)", 0.01, 0.0017),
            Level("typing error between first names (one of them rare)", f"{_typo('first_name')} AND {known} AND least(l.first_share, r.first_share) < 5e-5", 0.0035, 1.2e-4, 0.0005, sure=True),
            Level("typing error between first names", f"{_typo('first_name')} AND {known}", 0.0035, 0.0012, 0.0024, sure=True),
            Level("first name but for a typing error", _typo("first_name"), 0.07, 0.07, 0.0003, "first_name", 1e-4, sure=True),
            Level("alike but two first names", f"{_similar('first_name')} AND {known}", 0.001, 0.1, sure=True),
            Level("similar first name", _similar("first_name"), 0.02, 0.02, 0.0005, "first_name", 1e-4, sure=True),
            Level("first names distantly alike", f"(jaro_winkler_similarity(l.first_name, r.first_name) >= 0.7999999 OR {_typo('first_name', 2, 4)})", 0.02, 0.02),
            Level("different first name", "ELSE", 0.004, 0.99),
        ),
    )  # fmt: skip


def _last_name() -> Comparison:
    """Compare surnames; they change with marriage (one in twenty over some years), and most households share one."""
    known = "l.last_known AND r.last_known"
    return Comparison(
        "surname",
        f"l.last_name IS NULL OR r.last_name IS NULL OR {_HALF_CROSSED} OR {_CROSSED} OR {_NEARLY_CROSSED} OR {_SAME_NAMES}",
        (
            Level("same surname", _squeezed("last_name"), 0.84, 1, 0.85, "last_name", 1e-4, sure=True),
            Level("another surname", _unlike("last_name"), 0.04, 0.99, 0.15),
            Level("part of the surname", _part("l.last_name", "r.last_name"), 0.02, 0.16, 0.004, "last_name", 1e-5, sure=True),
            Level("typing error between surnames", f"{_typo('last_name')} AND {known}", 0.007, 2, 0.0023, "last_name", 1e-4, sure=True),
            Level("surname but for a typing error", _typo("last_name"), 0.07, 0.07, 0.007, "last_name", 1e-4, sure=True),
            Level("alike but two surnames", f"{_similar('last_name')} AND {known}", 0.005, 0.095, sure=True),
            Level("similar surname", _similar("last_name"), 0.02, 0.02, 0.004, "last_name", 1e-4, sure=True),
            Level("surnames distantly alike", f"(jaro_winkler_similarity(l.last_name, r.last_name) >= 0.7999999 OR {_typo('last_name', 2, 4)})", 0.02, 0.02, 0.02),
            Level("different surname", "ELSE", 0.04, 0.99, 0.15),
        ),
    )  # fmt: skip


def _generation() -> Comparison:
    """Compare Jr, Sr, II, III behind a name: one person is hardly ever both, and now and then one record lacks it.

    One member in a hundred bears such a mark; housemates of one first name are father and son.
    """
    namesakes = f"(l.first_name = r.first_name OR {_ALIAS})"
    return Comparison(
        "generation",
        "l.generation IS NULL AND r.generation IS NULL",
        (
            Level("same generation", "l.generation = r.generation", 0.5, 0.5, sure=True),
            Level("different generation (of one first name)", f"l.generation <> r.generation AND {namesakes}", 0.0001, 0.002, 0.4),
            Level("different generation", "l.generation <> r.generation", 0.0001, 0.002),
            Level("different generation (told once, of one first name)", namesakes, 0.004, 0.02, 0.4),
            Level("different generation (told once)", "ELSE", 0.004, 0.02),
        ),
    )  # fmt: skip


def _email(members: int, named: float) -> Comparison:
    """Compare addresses; many duplicates exist because somebody signed up with another one.

    What an address says is counted once: where it is made of nothing but its owner's name, a similar one is hardly
    evidence beyond the name. Families with one address are three in a hundred, where the club allows it.
    """
    mailbox, elsewhere = "l.email = r.email", "l.email_local = r.email_local"
    edits = "damerau_levenshtein(l.email_local, r.email_local)"
    misspelt = f"""(l.email_digits = r.email_digits AND {edits} <= 2
        AND least(length(l.email_local), length(r.email_local)) >= 5 * {edits} AND damerau_levenshtein(l.email_domain, r.email_domain) <= 2)"""

    def telling(left: str, right: str) -> str:
        rest = f"replace({left}.email_local, {left}.first_name || {left}.last_name, ' ')"
        return f"""(length({right}.first_name) > 2 AND strpos({left}.first_name, {right}.first_name) = 0
            AND strpos({rest}, {right}.first_name) > 0)"""

    aliases = f"l.first_name <> r.first_name AND ({_ALIAS} OR {_typo('first_name')} OR {_SHORT})"
    own_names = "strpos(l.email_local, l.first_name) > 0 AND strpos(r.email_local, r.first_name) > 0"
    apart = 0.28 * min(1.0, 0.25 / max(named**2, 0.25))
    return Comparison(
        "email",
        "l.email_local IS NULL OR r.email_local IS NULL",
        (
            Level("same e-mail", "l.email_plain = r.email_plain", 0.60, 1, 0.03, "email", sure=True),
            Level("same e-mail, the tag says another first name", f"{mailbox} AND l.email_dotted = r.email_dotted AND l.email_called <> r.email_called", 0.02, 1, 0.03, "email", sure=True),
            Level("same e-mail but for case or tag", f"{mailbox} AND l.email_dotted = r.email_dotted", 0.60, 1, 0.03, "email", sure=True),
            Level("same e-mail but for its dots", mailbox, 0.60, 1, 0.003, "email", sure=True),
            Level("same e-mail but for a slip in its domain", f"{elsewhere} AND damerau_levenshtein(l.email_domain, r.email_domain) <= 2 AND least(length(l.email_domain), length(r.email_domain)) >= 10", 0.05, 1, None, "email", 1e-4, sure=True),
            Level("similar e-mail (the same elsewhere)", f"{elsewhere} AND least(l.email_own, r.email_own) > 0", 0.10, 500, 0.004, "email_own", 1.5e-4 / members, sure=True),
            Level("similar e-mail (of the name, elsewhere, another phone)", f"{elsewhere} AND l.phone <> r.phone", 0.03, 0.06),
            Level("similar e-mail (of the name, elsewhere)", elsewhere, 0.10, 0.06, sure=True),
            Level("similar e-mail (a typing error)", f"{misspelt} AND l.email_own <> r.email_own", 0.10, 1, 0.01, "email_own", 0.02 / members, sure=True),
            Level("similar e-mail", misspelt, 0.10, 33, 0.02, "email_own", 6e-4 / members, sure=True),
            Level("the address tells the other's first name", f"{aliases} AND ({telling('l', 'r')} OR {telling('r', 'l')})", 0.084, 0.02, 0.018),
            Level("different e-mail (another phone as well)", "l.phone <> r.phone", 0.14, 1, 0.89),
            Level("each address says its own first name", f"l.first_name <> r.first_name AND ({_ALIAS} OR {_SHORT}) AND {own_names}", apart, 1, 1),
            Level("different e-mail", "ELSE", 0.28, 1, 0.89),
        ),
    )  # fmt: skip


def _phone(members: int) -> Comparison:
    """Compare phone numbers; one in four changes or is given as another line."""

    def ends(left: str, right: str) -> str:
        rest = f"substr({left}.phone, length({left}.phone) - length({right}.phone) + 1)"
        return f"(length({right}.phone) >= 7 AND length({left}.phone) > length({right}.phone) AND {rest} = {right}.phone)"

    return Comparison(
        "phone",
        "l.phone IS NULL OR r.phone IS NULL",
        (
            Level("same phone", "l.phone = r.phone", 0.70, 1, 0.65, "phone", sure=True),
            Level("same phone but for its area code", f"l.phone_end = r.phone_end AND ({ends('l', 'r')} OR {ends('r', 'l')})", 0.70, 0.01 / members, sure=True),
            Level("phone but for one digit", _typo("phone"), 0.04, 5e-5, counted=True),
            Level("different phone", "ELSE", 0.26, 1, 0.34),
        ),
    )  # fmt: skip


def comparisons(
    model: Model, members: int = 2, named: float = 0.0, fields: Mapping[str, str] = FIELDS
) -> list[Comparison]:
    """Return the model's comparisons for a club of so many members, with the shares that were given instead."""
    shipped = [_first_name(model), _last_name(), _generation(), _email(members, named), _phone(members)]
    shipped += further_comparisons(fields, members)
    return [changed(comparison, model) for comparison in shipped]


def changed(compared: Comparison, model: Model) -> Comparison:
    """Return a comparison with the shares that the model was given."""
    given = model.shares.get(compared.name, {})
    levels = (
        level._replace(**given[level.label].model_dump(exclude_none=True)) if level.label in given else level
        for level in compared.levels
    )
    return compared._replace(levels=tuple(levels))


def splink_settings(
    engine: Engine, model: Model, compared: list[Comparison], members: int, *, told_apart: bool
) -> dict[str, Any]:
    """Return Splink's settings: a pair's probability against strangers, or against housemates where it may be two of them.

    Where nothing tells housemates apart, two who may live together are as likely two however many duplicates there are.
    """
    strangers = model.duplicates_each / max(members - 1, 1)
    duplicates = model.duplicates_each if told_apart else min(model.duplicates_each, Model().duplicates_each)
    household = duplicates / model.housemates_each / strangers
    home = "match_key = 'home'"

    def spelled(condition: str) -> str:
        """Spell a condition as Splink has it: ``l.phone`` is ``phone_l``."""
        by_side = re.sub(r"\b([lr])\.(\w+)", r"\2_\1", condition)
        return by_side if by_side == "ELSE" else engine.sql(f"SELECT {by_side}").removeprefix("SELECT ")

    def level(condition: str, m: float, u: float) -> dict[str, Any]:
        return {"sql_condition": spelled(condition), "m_probability": m, "u_probability": u}

    def levels(comparison: Comparison) -> Iterator[dict[str, Any]]:
        yield {"sql_condition": spelled(comparison.missing), "is_null_level": True}
        for agreement in comparison.levels:
            if agreement.home:
                at_home = home if agreement.condition == "ELSE" else f"{home} AND {agreement.condition}"
                yield level(at_home, agreement.m, agreement.home)
            if agreement.term:
                # Splink divides by the larger share of the two values: its m and u here are multiples of that.
                yield level(agreement.condition, min(agreement.m / agreement.u, 1.0), 1.0) | {
                    "tf_adjustment_column": agreement.term,
                    "tf_minimum_u_value": agreement.least,
                    "disable_tf_exact_match_detection": True,
                }
            else:
                yield level(agreement.condition, agreement.m, agreement.u)

    shared = [level(home, min(household, 1.0), min(1 / household, 1.0)), level("ELSE", 1.0, 1.0)]
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "place",
        "probability_two_random_records_match": strangers / (1 + strangers),
        "blocking_rules_to_generate_predictions": [],
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": True,
        "comparisons": [
            *(
                {"output_column_name": comparison.name, "comparison_levels": [*levels(comparison)]}
                for comparison in compared
            ),
            {"output_column_name": "household", "comparison_levels": shared},
        ],
    }
