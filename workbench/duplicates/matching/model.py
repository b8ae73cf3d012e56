"""The model of a match: how likely each agreement is for one person, for housemates, and for strangers.

It is Fellegi and Sunter's, with one addition. A pair of records is one person twice, two strangers, or two
people of one household; what housemates share (surname, phone, often an address or the day they joined)
would otherwise count as proof that they are one. Each number below is a share of pairs, and says where it
comes from. None was fitted to the demo: they are round figures from what is published or counted, so that
a club of 200 needs no training. `Model.read` takes others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.errors import UsageError

DEFAULT_THRESHOLD = 0.7
"""From this probability on a pair is worth a person's look: more than two in three are one person."""

OFFER_THRESHOLD = 0.99
"""From this probability on, and with nothing serious against it, a pair is offered without review."""

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Given(_Part):
    """First names. For one person; a share of pairs, adding up to one at most.

    How often one person's first name stands in two files alike, by nickname or misspelt follows what
    record-linkage studies of name files report (some 80% alike, 5 to 10% nicknames, 5% typing errors).
    """

    same: Share = 0.76
    nickname: Share = 0.10  # Bob and Robert, either way, or two nicknames of one name
    part: Share = 0.02  # Mary and Mary-Ann
    initial: Share = 0.01  # J. and John
    typo: Share = 0.07  # one letter wrong, missing, added, or two exchanged
    near: Share = 0.02  # two letters, or alike by Jaro and Winkler
    different: Share = 0.004  # another name altogether: a middle name in use
    typo_targets: Count = 40  # how many misspellings of a name are about equally likely
    near_targets: Count = 1000
    typo_names: Share = (
        0.05  # how many likely misspellings of a name are rare names themselves: by the census, 4%
    )
    household_same: Share = 0.003  # housemates of one name: father and son; two Johns marry or meet rarely
    household_like: Share = 0.004  # alike as Jon and Joan, or José and José Luis: twins, parents


class Family(_Part):
    """Surnames; as for first names, but that they change with marriage (one in twenty over some years)."""

    same: Share = 0.84
    part: Share = 0.02  # Smith and Smith-Jones
    typo: Share = 0.07
    near: Share = 0.02
    different: Share = 0.04
    typo_targets: Count = 50
    near_targets: Count = 2000
    household_same: Share = 0.85  # the census: most households share a surname


class Email(_Part):
    """E-mail addresses. Many duplicates exist because somebody signed up with another address."""

    same: Share = 0.60  # the same mailbox, however spelt: case, dots, a plus tag
    similar: Share = 0.10  # same name before the @ elsewhere, or a typing error
    different: Share = 0.28
    stranger_same: Share = 0.002  # members per thousand whose address is a stranger's by mistake: 2
    stranger_similar: Share = 0.02  # the same for a similar, specific address
    namesake_similar: Share = 0.06  # namesakes who both made their address of nothing but their name
    same_provider: Share = 0.25  # any two people have their addresses at one provider
    mistyped: Share = 0.03  # an address with a typing error in it
    namesake_dots: Share = 0.003  # such namesakes at one provider, one with a dot
    called: Share = 0.01  # one's own first name for a tag of one's own address
    household_called: Share = 0.3  # the same where housemates share a mailbox
    tells_name: Share = 0.30  # the address of Bob that says robert: of one person who is called both
    stranger_tells_name: Share = 0.02
    own_names: Share = 0.25  # the addresses of Bob and of Robert each say just that name, and they are one
    household_same: Share = 0.03  # families with one address, where the club allows it
    household_dots: Share = (
        0.003  # who shares a mailbox writes it alike, or with a tag; hardly without its dots
    )
    household_similar: Share = 0.01
    household_different: Share = 0.89


class Phone(_Part):
    """Phone numbers; one in four changes or is given as another line."""

    same: Share = 0.70
    typo: Share = 0.04
    different: Share = 0.26
    stranger_same: Share = 0.01  # members per hundred whose number is a stranger's by mistake: 1
    stranger_typo: Share = 5e-5  # numbers one digit apart, in one area code
    household_same: Share = 0.65
    household_different: Share = 0.34


class Joined(_Part):
    """The day of joining. How many strangers share it is counted in the data: imports give one day to all."""

    same: Share = 0.50
    near: Share = 0.10  # within a month, or day and month exchanged
    different: Share = 0.40
    least: Share = 0.0003  # no day is rarer than one in ten years
    household_same: Share = 0.30


class Suffix(_Part):
    """Jr, Sr, II, III behind a name."""

    clash: Share = 0.0001  # one person is hardly ever both Jr and Sr
    half: Share = 0.004  # one member in a hundred bears a mark; now and then one record lacks it
    stranger_clash: Share = 0.002
    stranger_half: Share = 0.02
    namesake_clash: Share = 0.4  # housemates of one first name: father and son
    namesake_half: Share = 0.4


class Model(_Part):
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
    """

    duplicates_each: Count = 0.02
    housemates_each: Count = 0.30
    census_weight: Count = 10_000.0
    exchanged: Share = 0.01
    given: Given = Given()
    family: Family = Family()
    email: Email = Email()
    phone: Phone = Phone()
    joined: Joined = Joined()
    suffix: Suffix = Suffix()

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        levels = {
            "given": ("same", "nickname", "part", "initial", "typo", "near", "different"),
            "family": ("same", "part", "typo", "near", "different"),
            "email": ("same", "similar", "different"),
            "phone": ("same", "typo", "different"),
            "joined": ("same", "near", "different"),
        }
        for name, shares in levels.items():
            total = sum(getattr(getattr(self, name), share) for share in shares)
            if total > 1 + 1e-9:
                raise ValueError(
                    f"{name}: the shares of {', '.join(shares)} add up to {total:.3f}, more than one"
                )
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
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The model {path} cannot be read: {error}.", _ADVICE) from error
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise UsageError(f"The model {path} is not one: {_told(error)}.", _ADVICE) from error

    def write(self, path: str | Path) -> None:
        """Write every parameter as JSON, to be changed and read again."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


_ADVICE = "Model.shipped().write(FILE) writes a file that has every parameter, to start from."


def _told(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(problems[:5]) + ("; ..." if len(problems) > 5 else "")
