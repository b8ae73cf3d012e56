"""Which row refers to which: declared foreign keys, and soft references.

A soft reference is one that the database does not know of: a mapping's target, an audit row's
resource, and in the guide dialect every foreign key (it declares none).
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITY_TYPES

# Foreign keys of the application that the guide dialect has as columns but does not declare.
_KNOWN = (
    ("registrations", "member_id", "members"),
    ("registrations", "event_id", "events"),
    ("members", "tier_id", "tiers"),
    ("members", "status_id", "statuses"),
)

# References of the application's schema that no foreign key declares, by column name; where
# ``parent`` is None the row named by the key may be of any table (ids are UUIDs).
_UNDECLARED: tuple[tuple[str, str, str | None], ...] = (
    ("AuthChallenge", "userAccountId", "UserAccount"),
    ("CustomFieldValue", "entityId", None),
    ("DigitalDelivery", "productId", "Product"),
    ("EmailMagicLink", "userAccountId", "UserAccount"),
    ("FileAccess", "principalId", None),
    ("GovernanceAnnotation", "targetId", None),
    ("GovernanceReviewFlag", "targetId", None),
    ("Permission", "resourceId", None),
    ("StarlingAudit", "userId", None),
    ("StarlingStaging", "userId", None),
    ("Template", "themeId", "Theme"),
    ("WidgetData", "scopeId", None),
)


@dataclass(frozen=True)
class Reference:
    """One way for rows of `child` to refer to rows of `parent`.

    Attributes
    ----------
    child, column : str
        Real names of the referring table and column.
    parent : str
        Real name of the table referred to; its key is `parent_column`.
    on_delete : str
        ``CASCADE``, ``SET NULL``, ``RESTRICT``, ``NO ACTION``; ``NONE`` for a soft reference.
    nullable : bool
        Whether the reference may be emptied.
    declared : bool
        Whether the database enforces it.
    kind_column, kinds : str or None, tuple of str
        For a reference that may lead to several tables: the column that says to which, and the
        values that mean `parent`.
    """

    child: str
    column: str
    parent: str
    parent_column: str
    on_delete: str
    nullable: bool
    declared: bool
    kind_column: str | None = None
    kinds: tuple[str, ...] = ()


class References:
    """The reference graph of one database.

    Attributes
    ----------
    all, lasting : tuple of Reference
        Every one; and without the audit log's own, which tells of what was there once.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.all: tuple[Reference, ...] = (*_declared(schema), *_soft(schema))
        audit = schema.resolved.get("audit")
        self.lasting = tuple(
            each for each in self.all if each.declared or audit is None or each.child != audit.table
        )

    def to(self, table: str) -> tuple[Reference, ...]:
        """Return every way to refer to rows of `table`, declared ones first."""
        return tuple(each for each in self.all if each.parent == table)

    def binding(self, table: str) -> tuple[Reference, ...]:
        """Return those that would be left hanging if a row of `table` went."""
        return tuple(each for each in self.lasting if each.parent == table)


def _declared(schema: Schema) -> list[Reference]:
    tables = schema.catalogue.tables
    return [
        Reference(
            each.child,
            child_column,
            each.parent,
            parent_column,
            each.on_delete,
            tables[each.child].columns[child_column].nullable,
            declared=True,
        )
        for each in schema.catalogue.foreign_keys
        for child_column, parent_column in zip(each.child_columns, each.parent_columns, strict=True)
        if each.parent in tables
    ]


def _soft(schema: Schema) -> list[Reference]:
    tables = schema.catalogue.tables
    declared = {
        (each.child, column) for each in schema.catalogue.foreign_keys for column in each.child_columns
    }
    found: list[Reference] = []

    def add(
        child: str, column: str, parent: str, kind: str | None = None, kinds: tuple[str, ...] = ()
    ) -> None:
        if (child, column) not in declared:
            nullable = tables[child].columns[column].nullable
            found.append(Reference(child, column, parent, "id", "NONE", nullable, False, kind, kinds))

    for concept, column, parent in _KNOWN:
        if schema.has(f"{concept}.{column}", parent):
            child = schema.resolved[concept]
            add(child.table, child.spelling[column], schema.resolved[parent].table)
    for concept, kind, column in (
        ("mappings", "entity_type", "target"),
        ("audit", "resource_type", "resource_id"),
    ):
        if schema.has(f"{concept}.{kind}", f"{concept}.{column}"):
            child = schema.resolved[concept]
            # Both spellings may be in use: what only the older one tells is a reference all the same.
            spellings = [
                each for each in CONCEPTS[concept].columns[column] if each in tables[child.table].columns
            ]
            for entity, kinds in ENTITY_TYPES.items():
                if schema.has(CONCEPT_OF[entity]):
                    for each in spellings:
                        add(child.table, each, schema.table_of(entity), child.spelling[kind], kinds)
    for child_name, column, parent_name in _UNDECLARED:
        if child_name not in tables or column not in tables[child_name].columns:
            continue
        if parent_name is not None:
            if parent_name in tables:
                add(child_name, column, parent_name)
        else:
            for entity in ENTITY_TYPES:
                if schema.has(CONCEPT_OF[entity]):
                    add(child_name, column, schema.table_of(entity))
    return found


def quoted(name: str | None) -> str:
    """Quote a name for SQLAlchemy's text, to which a colon before a word would be a parameter."""
    return '"' + str(name).replace('"', '""').replace(":", "\\:") + '"'


def literal(said: str) -> str:
    """Quote a text for SQLAlchemy's text."""
    escaped = said.replace("'", "''").replace(":", "\\:")
    return f"CAST('{escaped}' AS text)"
