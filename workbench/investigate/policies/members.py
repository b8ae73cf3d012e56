"""Kinds of rules about members: who can be seen by whom, and whom mail can reach."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from sqlalchemy import Select, String, cast, exists, func, select

from workbench.investigate.policies.ground import Ground, NoAnswerError
from workbench.investigate.policies.rule import Rule, Words
from workbench.murmurant.schema import as_text, named, same_id

_PART = r'[^[:space:]@.,:;<>()"\[\]\\]+'
_LABEL = "[^[:space:][:punct:]]([^[:space:]@.,:;/_]*[^[:space:][:punct:]])?"
_EMAIL = rf"^{_PART}(\.{_PART})*@({_LABEL}\.)+(?![0-9]+$){_LABEL}$"
"""An address as people have them: no quotes, no comments, a domain with a dot. Letters are anybody's alphabet."""


class Visibility(Rule):
    """Nobody may be public who asked to be private, nor a photo that only some may see."""

    ask: Literal["visibility"]
    scope: Literal["Member"] = "Member"
    fix: Literal["hide"] | None = None
    question: Words = "Is nobody public who asked to be private, nor a photo that only some may see?"
    remedy: Words = (
        "Take them out of public view first, then find the setting that the importer did not carry over."
    )
    symptom: ClassVar[str] = "Members in wrong visibility groups"

    @property
    def needs(self) -> tuple[str, ...]:
        """Members; how they are seen differs, see `culprits`."""
        return (*super().needs, "members")

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select members who are public and should not be, by whichever of the two this database has."""
        schema, members = ground.schema, ground.schema.members
        if schema.has("members.is_private", "members.visibility"):
            return (
                select(
                    as_text(members.c.id).label("key"),
                    *named(members, "first_name", "last_name"),
                    members.c.visibility.label("seen_by"),
                )
                .where(
                    members.c.is_private,
                    func.upper(cast(members.c.visibility, String)) == "PUBLIC",
                    *self.among(ground),
                )
                .order_by("key")
            )
        if schema.has("members.photo_id", "files.is_public", "file_access.file_id"):
            files, access = schema.files, schema.file_access
            return (
                select(
                    as_text(members.c.id).label("key"),
                    *named(members, "first_name", "last_name"),
                    as_text(files.c.id).label("photo"),
                )
                .select_from(members.join(files, same_id(files.c.id, members.c.photo_id)))
                .where(
                    files.c.is_public,
                    exists().where(same_id(access.c.file_id, files.c.id)),
                    *self.among(ground),
                )
                .order_by("key")
            )
        raise NoAnswerError(
            'Members have no visibility here: neither "isPrivate" and "visibility" columns nor photos with access rules.'
        )


class EmailSyntax(Rule):
    """An e-mail address must be one that mail can be sent to."""

    ask: Literal["email-syntax"]
    scope: Literal["Member"] = "Member"
    fix: None = None
    question: Words = "Can mail be sent to every address, as far as its spelling goes?"
    remedy: Words = "Ask the person, or correct the obvious typing error in the source and import again."

    @property
    def needs(self) -> tuple[str, ...]:
        """An address."""
        return (*super().needs, "members.email")

    def culprits(self, ground: Ground) -> Select[Any]:
        """Select members whose address cannot be one; an empty one is another rule's."""
        members = ground.schema.members
        email = members.c.email
        return (
            select(as_text(members.c.id).label("key"), *named(members, "first_name", "last_name", "email"))
            .where(~email.regexp_match(_EMAIL), email.regexp_match("[^[:space:]]"), *self.among(ground))
            .order_by("key")
        )
