"""References between rows: declared foreign keys, and soft references, which the database does not know.

Soft references are a mapping's target, an audit row's resource and, in the guide dialect, all foreign keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITY_TYPES

# Foreign keys of the application; the guide dialect has the columns but does not declare the keys.
_KNOWN = (
    ("registrations", "member_id", "members"),
    ("registrations", "event_id", "events"),
    ("members", "tier_id", "tiers"),
    ("members", "status_id", "statuses"),
)

_BY_KIND = (("mappings", "entity_type", "target"), ("audit", "resource_type", "resource_id"))

# References of the application that no foreign key declares. Where the parent is None, the row may be in any table (ids
# are UUIDs).
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
    """A reference from rows of `child` to rows of `parent`.

    Attributes
    ----------
    child, column : str
        Real names of the referring table and column.
    parent, parent_column : str
        Real name of the referenced table, and its key.
    on_delete : str
        ``CASCADE``, ``SET NULL``, ``RESTRICT``, ``NO ACTION``; ``NONE`` for a soft reference.
    nullable : bool
        Whether the reference may be emptied.
    declared : bool
        Whether the database enforces it.
    kind_column, kinds : str or None, tuple of str
        For a reference to one of several tables: the column that names the table, and its values for `parent`.
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
        All references; and all but those of the audit log, which describes past rows.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.all: tuple[Reference, ...] = (*_declared(schema), *_soft(schema))
        audit = schema.resolved.get("audit")
        self.lasting = tuple(
            reference
            for reference in self.all
            if reference.declared or audit is None or reference.child != audit.table
        )

    def to(self, table: str) -> tuple[Reference, ...]:
        """Return the references to rows of `table`, declared ones first."""
        return tuple(reference for reference in self.all if reference.parent == table)

    def binding(self, table: str) -> tuple[Reference, ...]:
        """Return the references that would dangle if a row of `table` were deleted."""
        return tuple(reference for reference in self.lasting if reference.parent == table)


def _declared(schema: Schema) -> list[Reference]:
    tables = schema.catalogue.tables
    return [
        Reference(
            reference.child,
            child_column,
            reference.parent,
            parent_column,
            reference.on_delete,
            tables[reference.child].columns[child_column].nullable,
            declared=True,
        )
        for reference in schema.catalogue.foreign_keys
        for child_column, parent_column in zip(reference.child_columns, reference.parent_columns, strict=True)
        if reference.parent in tables
    ]


def _soft(schema: Schema) -> list[Reference]:
    """Return the references without a foreign key."""
    tables = schema.catalogue.tables
    declared = {
        (reference.child, column)
        for reference in schema.catalogue.foreign_keys
        for column in reference.child_columns
    }
    entities = {entity: schema.table_of(entity) for entity in ENTITY_TYPES if schema.has(CONCEPT_OF[entity])}
    ways: list[tuple[str, str, str, str | None, tuple[str, ...]]] = [
        (child.table, child.spelling[column], schema.resolved[parent].table, None, ())
        for concept, column, parent in _KNOWN
        if schema.has(f"{concept}.{column}", parent)
        for child in [schema.resolved[concept]]
    ]
    ways += [  # both spellings may exist; each is a reference
        (child.table, spelling, table, child.spelling[kind], ENTITY_TYPES[entity])
        for concept, kind, column in _BY_KIND
        if schema.has(f"{concept}.{kind}", f"{concept}.{column}")
        for child in [schema.resolved[concept]]
        for entity, table in entities.items()
        for spelling in CONCEPTS[concept].columns[column]
    ]
    ways += [
        (child, column, table, None, ())
        for child, column, parent in _UNDECLARED
        for table in ([parent] if parent else entities.values())
    ]
    return [
        Reference(
            child, column, parent, "id", "NONE", tables[child].columns[column].nullable, False, kind, kinds
        )
        for child, column, parent, kind, kinds in ways
        if {child, parent} <= tables.keys() and column in tables[child].columns
        if (child, column) not in declared
    ]
