"""Records and mappings of an environment, found by what somebody types."""

from __future__ import annotations

import pandas as pd

from workbench.covering import covering
from workbench.mappings import search
from workbench.murmurant.spellings import MEMBER
from workbench.session import Session


class Searching:
    """The questions of somebody who knows a name, an address or a number; the database answers, a screenful at a time."""

    session: Session

    @covering
    def find_people(self, text: str, limit: int = 50) -> pd.DataFrame:
        """Find people by id, WA id, or words of name and e-mail: see `workbench.mappings.search.find_records`."""
        return self.find_records(text, MEMBER, limit)

    @covering
    def find_records(self, text: str, entity: str = MEMBER, limit: int = 50) -> pd.DataFrame:
        """Find people, events or registrations: see `workbench.mappings.search`."""
        with self.session.reading() as connection:
            return search.find_records(connection, self.session.schema, entity, text, limit)

    @covering
    def find_mappings(self, text: str, limit: int = 50) -> pd.DataFrame:
        """Find mappings by WA id, or by the person or event they lead to: see `workbench.mappings.search`."""
        with self.session.reading() as connection:
            return search.find_mappings(connection, self.session.schema, text, limit)
