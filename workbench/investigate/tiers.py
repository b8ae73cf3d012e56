"""Membership tiers: who is in which, and what the importer's configuration says (guide §1.3, §4.3)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml
from sqlalchemy import Connection, func, select

from workbench.database.connection import frame
from workbench.errors import UsageError
from workbench.murmurant.schema import Schema, same_id


def tier_distribution(connection: Connection, schema: Schema) -> pd.DataFrame:
    """Count the members in each tier: the question of guide §4.3, with those who have none.

    Where tiers are not used (the application's importers fill statuses only) statuses stand in.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (``tier`` or ``status``), ``code`` (None for none), ``members``, most first.
    """
    members = schema.members
    for kind, concept, column in (("tier", "tiers", "tier_id"), ("status", "statuses", "status_id")):
        if not schema.has(f"{concept}.code", f"members.{column}"):
            continue
        codes = schema.source(concept)
        found = frame(
            connection,
            select(codes.c.code, func.count().label("members"))
            .select_from(members.outerjoin(codes, same_id(codes.c.id, members.c[column])))
            .group_by(codes.c.code)
            .order_by(func.count().desc(), codes.c.code),
        )
        if kind == "status" or found["code"].notna().any():
            found.insert(0, "kind", kind)
            return found
    return pd.DataFrame(columns=["kind", "code", "members"])


def read_tier_mapping(path: Path) -> dict[str, str]:
    """Read ``membership_status_mapping`` from an importer's YAML configuration.

    Returns
    -------
    dict of str to str
        Wild Apricot membership level to tier code.

    Raises
    ------
    UsageError
        When the file is not YAML or has no such mapping.
    """
    again = "It needs a mapping membership_status_mapping of Wild Apricot levels to tier codes."
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"The tier mapping {path} cannot be read: {type(error).__name__}.", again) from None
    mapping = content.get("membership_status_mapping") if isinstance(content, dict) else None
    if not isinstance(mapping, dict) or not mapping:
        raise UsageError(f"The tier mapping {path} has no membership_status_mapping.", again)
    return {str(level): str(tier) for level, tier in mapping.items()}
