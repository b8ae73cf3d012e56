"""The report of a plan: what whoever approves it gets to read, and what it says after the plan was applied."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from markupsafe import escape

from tests.conftest import Clubs, Ground
from tests.dialects import one_dialect as one_dialect
from tests.edits import later_edit
from tests.imports import IMPORTERS, import_run
from tests.reporting.conftest import HOSTILE, settings_for
from tests.reporting.pages import executed, page_of
from tests.reporting.test_runner import self_contained
from workbench.database.connection import raw
from workbench.documents import Target
from workbench.errors import DocumentError, UsageError
from workbench.plans.plan import Plan, Section, format_row, write_plan
from workbench.plans.rows import deleted
from workbench.reporting.plans import Review, plan_sentence
from workbench.settings import Settings
from workbench.workbench import Workbench, open_workbench

SURNAME, EMAIL = "Quixotelli", "q.quixotelli@example.org"


@dataclass(frozen=True)
class Imported:
    """A club after one more import run, with a snapshot from before it."""

    ground: Ground
    settings: Settings
    run: str
    members: list[str]
    event: str
    snapshot: Path

    def open(self, unmask: bool = False) -> Workbench:
        return open_workbench("club", settings=self.settings, unmask=unmask)

    def rollback(self, snapshot: Path | None) -> Plan:
        plan = self.open().runs.plan_rollback(self.run, snapshot=snapshot)
        assert isinstance(plan, Plan)
        return plan

    def review(self, name: str, unmask: bool = False) -> Review:
        return self.open(unmask).report.review(name)


@pytest.fixture
def imported(clubs: Clubs, dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Imported:
    ground = clubs.clone(dialect, 60)
    snapshot = ground.dump(tmp_path / "before.dump")
    with ground.connect() as connection:
        run = import_run(connection, ground.club, IMPORTERS[dialect][0])
        for kind in ("created-event", "updated-member-same-column"):
            assert later_edit(connection, ground.club, run, kind, 1)
        hostile = 'UPDATE "Member" SET "firstName" = %s, "lastName" = %s, email = %s WHERE id = %s'
        connection.execute(hostile, [HOSTILE[0], SURNAME, EMAIL, run.created["Member"][0]])
    settings = settings_for(ground.url, tmp_path, monkeypatch, imports=ground.imports)
    settings = settings.model_copy(update={"scratch_url_env": "SCRATCH_URL"})
    members, event = sorted(run.created["Member"]), run.created["Event"][0]
    return Imported(ground, settings, run.run, members, event, snapshot)


def deleting(
    wb: Workbench, keys: list[str], target: Target | None = None, **notes: list[tuple[str | None, ...]]
) -> Plan:
    """Plan to delete some members, with notes as they are given."""
    own = {"kind": "merge", "parameters": {"members": 2}, "reasons": ("Merges two members.",)}
    plan = Plan(**own, target=target or wb.session.target, planned_by="dana")  # type: ignore[arg-type]
    catalogue = wb.session.schema.catalogue
    section = Section("delete", "Member", ("id",), seen=tuple(catalogue.tables["Member"].columns))
    with wb.session.reading() as connection:
        changes = (section, deleted(raw(connection), catalogue, "Member", keys))
        noted = ((Section(name), map(format_row, rows)) for name, rows in notes.items())
        return write_plan(wb.settings.home / "plans", plan, [changes, *noted])


def statuses(review: Review) -> dict[str, str]:
    return {finding.check.removeprefix("plan-"): finding.status for finding in review.findings}


def text(review: Review, *parts: str) -> str:
    return repr(review.answer.only(*parts) if parts else review.answer)


def test_the_report_of_a_rollback(imported: Imported) -> None:
    plan = imported.rollback(imported.snapshot)
    result = imported.open().report("plan", {"plan": plan.id})
    page, verdict = result.html.read_text(encoding="utf-8"), result.verdict
    assert verdict == json.loads(result.json.read_text(encoding="utf-8"))
    assert (verdict["status"], verdict["state"]) == ("warn", "planned")
    assert (verdict["plan"], verdict["digest"], verdict["changes"]) == (plan.id, plan.digest, plan.changes)
    counts = (len(plan.conflicts), len(plan.kept), len(plan.unresolved))
    assert (verdict["conflicts"], verdict["kept"], verdict["unresolved"]) == counts
    assert counts[0]
    for words in (
        f"workbench approve {plan.id} --digest {plan.digest} -e club",
        plan_sentence(plan),
        escape(plan.conflicts[0]["reason"]),
        *(f">{count:,}</span>" for cells in plan.changes.values() for count in cells.values()),
    ):
        assert words in page
    self_contained(page)
    for artefact in (page, *(path.read_text(encoding="utf-8") for path in (result.notebook, result.json))):
        for secret in (SURNAME, EMAIL, HOSTILE[0], str(imported.settings.home.parent), "postgresql://"):
            assert secret not in artefact


def test_before_and_after_it_is_applied(imported: Imported) -> None:
    wb = imported.open()
    assert "none yet" in repr(wb.report.applied())
    plan = imported.rollback(None)
    planned = imported.review(plan.id)
    assert statuses(planned)["unresolved"] == "warn"
    assert "--snapshot FILE" in text(planned, "unresolved")
    wb.plans.approve(plan, plan.digest, approver="kim")
    assert "it is approved by kim" in text(imported.review(plan.id), "checked")
    wb.plans.apply(plan)
    applied = imported.review(plan.id)
    assert statuses(applied)["applied"] == "fail"
    assert "It was applied: by dana" in applied.answer.headline
    assert [step.command for step in applied.answer.next_steps] == [f"undo {plan.id}"]
    # The way back: a plan of inserts, whose people are named as the plan has them.
    undo = wb.plans.plan_undo(plan.id)
    page = page_of("plan", environment="club", plan=undo.id, unmask=True)
    for words in ("Can this plan be approved as it is? Yes.", SURNAME, EMAIL, str(escape(HOSTILE[0]))):
        assert words in page
    self_contained(page)
    _, verdict = executed("post-recovery", environment="club")
    assert verdict["plans"] == [{"plan": plan.id, "digest": plan.digest, "state": "applied"}]
    assert plan.id in repr(wb.report.applied())
    wb.plans.approve(undo, undo.digest)
    wb.plans.apply(undo)
    assert [entry["state"] for entry in wb.report.applied().facts["plans"]] == ["undone", "applied"]
    assert "It was undone" in imported.review(plan.id).answer.headline


def test_what_makes_a_plan_unfit_to_be_approved(imported: Imported) -> None:
    wb, keys, ground = imported.open(), imported.members, imported.ground
    plan = deleting(wb, keys)
    assert set(statuses(imported.review(plan.id)).values()) == {"pass"}
    assert plan_sentence(plan) == f"Merges two members: deletes {len(keys)} members."
    update = {"kind": "production", "address": wb.environment.where}
    production = imported.settings.environments["club"].model_copy(update=update)
    settings = imported.settings.model_copy(update={"environments": {"club": production}})
    on_production = open_workbench("club", settings=settings)
    grave = deleting(on_production, keys)
    steps = repr(on_production.report.review(grave.id).answer.only(steps=True))
    assert f"--digest {grave.digest} --as NAME --confirm club -e club" in steps
    assert "by a second person: dana planned it" in steps
    assert statuses(imported.review(grave.id))["target"] == "fail"
    ground.execute("UPDATE \"Member\" SET phone = '1' WHERE id = %s", keys[0])
    drifted = imported.review(plan.id)
    assert "was changed since" in drifted.answer.headline
    assert statuses(drifted)["rows"] == "fail"
    assert not [step for step in drifted.answer.next_steps if step.command.startswith("approve")]
    # Made for another database, it names nobody of this one.
    foreign = deleting(wb, keys, replace(wb.session.target, database="another", environment="club-2"))
    review = imported.review(foreign.id, unmask=True)
    assert "for database another, this is club" in review.answer.headline
    assert statuses(review)["target"] == "fail"
    assert "rows" not in statuses(review)
    assert keys[0] in text(review, "rows")
    assert "@" not in text(review, "rows")
    ground.execute('ALTER TABLE "Member" RENAME phone TO mobile')
    changed = "has changed its columns or key since the plan was made (phone)"
    assert changed in imported.review(plan.id).answer.headline
    # What cannot be read, or is not there.
    with pytest.raises(UsageError, match=plan.id):
        imported.review("rollback-00000")
    plan.path.write_bytes(plan.path.read_bytes()[:-40])
    with pytest.raises(DocumentError, match=f"{plan.id}.plan is .*cut short"):
        imported.review(plan.id)


def test_notes_are_grouped_and_hostile_ones_are_text(imported: Imported) -> None:
    key, other = imported.members[:2]
    kept = [("Member", key, f"WA id {n} and {HOSTILE[0]}") for n in range(5000, 5060)]
    conflict = [
        ("Member", key, "phone", "8055550101", "not known", "8055550102", "somebody changed it; keep"),
        ("Event", imported.event, "eventChairId", None, other, key, "a person changed it; restore"),
    ]
    unresolved = [("Member", key, "why", f"{HOSTILE[0]} {EMAIL}")]
    plan = deleting(imported.open(), [key], kept=kept, conflict=conflict, unresolved=unresolved)  # type: ignore[arg-type]
    review = imported.review(plan.id)
    html, words = review.answer._repr_mimebundle_()["text/html"], text(review)
    for secret in (SURNAME, EMAIL, "80555501", "<script"):
        assert secret not in html
        assert secret not in words or secret == "<script"  # which is text there
    assert "WA id … and &lt;script&gt;" in html
    assert "showing 40 of 60" in html
    assert "Member: ••• Q•••" in text(review, "kept")
    assert "not known" in text(review, "conflicts")
    assert f"({other})" in text(review, "conflicts")
    unmasked = imported.review(plan.id, unmask=True)
    assert SURNAME in text(unmasked, "rows")
    assert "8055550102" in text(unmasked, "conflicts")
