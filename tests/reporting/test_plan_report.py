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
from tests.imports import IMPORTERS, Imported, import_run
from tests.reporting.conftest import HOSTILE, settings_for
from tests.reporting.pages import executed
from tests.reporting.test_runner import self_contained
from workbench.database.connection import raw
from workbench.documents import Target
from workbench.errors import DocumentError, UsageError
from workbench.plans.plan import Plan, Section, format_row, write_plan
from workbench.plans.rows import deleted
from workbench.reporting.plans import Review, plan_sentence
from workbench.reporting.runner import ReportResult, run_report
from workbench.settings import Settings
from workbench.workbench import Workbench, open_workbench

SURNAME, EMAIL = "Quixotelli", "q.quixotelli@example.org"


@dataclass(frozen=True, kw_only=True)
class Imports(Ground):
    """A club after one more import run, and a snapshot from before it."""

    settings: Settings
    run: Imported
    snapshot: Path

    def open(self, unmask: bool = False) -> Workbench:  # type: ignore[override]
        return open_workbench("club", settings=self.settings, unmask=unmask)

    def plan(self, snapshot: bool = True) -> Plan:
        with self.open() as wb:
            plan = wb.runs.plan_rollback(self.run.run, snapshot=self.snapshot if snapshot else None)
        assert isinstance(plan, Plan)
        return plan

    def review(self, name: str, unmask: bool = False) -> Review:
        return self.open(unmask).report.review(name)

    def report(self, name: str, unmask: bool = False) -> ReportResult:
        return run_report("plan", {"plan": name}, environment="club", settings=self.settings, unmask=unmask)


@pytest.fixture
def imports(clubs: Clubs, dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Imports:
    clone = clubs.clone(dialect)
    snapshot = clone.dump(tmp_path / "before.dump")
    with clone.connect() as connection:
        run = import_run(connection, clone.club, IMPORTERS[dialect][0])
        for kind in ("created-event", "updated-member-same-column"):
            assert later_edit(connection, clone.club, run, kind, 1)
        hostile = 'UPDATE "Member" SET "firstName" = %s, "lastName" = %s, email = %s WHERE id = %s'
        connection.execute(hostile, [HOSTILE[0], SURNAME, EMAIL, run.created["Member"][0]])
    settings = settings_for(clone.url, tmp_path, monkeypatch, imports=clone.imports)
    settings = settings.model_copy(update={"scratch_url_env": "SCRATCH_URL"})
    return Imports(**vars(clone), settings=settings, run=run, snapshot=snapshot)


def clean(
    wb: Workbench, keys: list[str], target: Target | None = None, **notes: list[tuple[str | None, ...]]
) -> Plan:
    """Plan to delete some members, with notes as they are given."""
    plan = Plan(
        kind="merge",
        parameters={"members": 2},
        reasons=("Merges two members.",),
        target=target or wb.session.target,
        planned_by="dana",
    )
    catalogue = wb.session.schema.catalogue
    section = Section("delete", "Member", ("id",), seen=tuple(catalogue.tables["Member"].columns))
    with wb.session.reading() as connection:
        changes = (section, deleted(raw(connection), catalogue, "Member", sorted(keys)))
        noted = ((Section(name), map(format_row, rows)) for name, rows in notes.items())
        return write_plan(wb.settings.home / "plans", plan, [changes, *noted])


def statuses(review: Review) -> dict[str, str]:
    return {each.check.removeprefix("plan-"): each.status for each in review.findings}


def text(review: Review, *parts: str) -> str:
    answer = review.answer.only(*parts) if parts else review.answer
    return repr(answer)


def test_the_report_of_a_rollback(imports: Imports) -> None:
    plan = imports.plan()
    result = imports.report(plan.id)
    page, verdict = result.html.read_text(encoding="utf-8"), result.verdict
    assert verdict == json.loads(result.json.read_text(encoding="utf-8"))
    assert verdict["status"] == "warn"
    assert (verdict["plan"], verdict["digest"], verdict["changes"]) == (plan.id, plan.digest, plan.changes)
    assert verdict["conflicts"] == len(plan.conflicts) > 0
    assert (verdict["kept"], verdict["unresolved"]) == (len(plan.kept), len(plan.unresolved))
    assert verdict["state"] == "planned"
    assert plan.digest in page
    assert f"workbench approve {plan.id} --digest {plan.digest} -e club" in page
    assert plan_sentence(plan) in page
    for cells in plan.changes.values():
        assert all(f">{count:,}</span>" in page for count in cells.values())
    assert escape(plan.conflicts[0]["reason"]) in page
    self_contained(page)
    for artefact in (page, *(each.read_text(encoding="utf-8") for each in (result.notebook, result.json))):
        for secret in (SURNAME, EMAIL, HOSTILE[0], str(imports.settings.home.parent), "postgresql://"):
            assert secret not in artefact


@pytest.mark.parametrize("dialect", ["application"])
def test_before_and_after_it_is_applied(imports: Imports) -> None:
    wb = imports.open()
    assert "none yet" in repr(wb.report.applied())
    plan = imports.plan(snapshot=False)
    open_ends = imports.review(plan.id)
    assert statuses(open_ends)["unresolved"] == "warn"
    assert "--snapshot FILE" in text(open_ends, "unresolved")
    wb.plans.approve(plan, plan.digest, approver="kim")
    assert "It is approved: by kim" in text(imports.review(plan.id), "checked")
    wb.plans.apply(plan)
    applied = imports.review(plan.id)
    assert statuses(applied)["applied"] == "fail"
    assert "It was applied: by dana" in applied.answer.headline
    assert [step.command for step in applied.answer.next_steps] == [f"undo {plan.id}"]
    # The way back: a plan of inserts, whose people are told as the plan has them.
    undo = wb.plans.plan_undo(plan.id)
    back = imports.report(undo.id, unmask=True)
    page = back.html.read_text(encoding="utf-8")
    assert back.verdict["status"] == "pass"
    assert "Can this plan be approved as it is? Yes." in page
    assert SURNAME in page
    assert EMAIL in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    self_contained(page)
    facts = {"plan": plan.id, "digest": plan.digest, "state": "applied"}
    _, verdict = executed("post-recovery", environment="club")
    assert verdict["plans"] == [facts]
    assert plan.id in repr(wb.report.applied())
    wb.plans.approve(undo, undo.digest)
    wb.plans.apply(undo)
    assert [each["state"] for each in wb.report.applied().facts["plans"]] == ["undone", "applied"]
    assert "It was undone" in imports.review(plan.id).answer.headline


def test_what_makes_a_plan_unfit_to_be_approved(imports: Imports) -> None:
    wb = imports.open()
    keys = sorted(imports.run.created["Member"])
    plan = clean(wb, keys)
    assert set(statuses(imports.review(plan.id)).values()) == {"pass"}
    assert plan_sentence(plan) == f"Merges two members: deletes {len(keys)} members."
    there = imports.settings.environments["club"]
    real = there.model_copy(update={"kind": "production", "address": wb.environment.where})
    on_production = open_workbench(
        "club", settings=imports.settings.model_copy(update={"environments": {"club": real}})
    )
    grave = clean(on_production, keys)
    told = repr(on_production.report.review(grave.id).answer.only(steps=True))
    assert f"--digest {grave.digest} --as NAME --confirm club -e club" in told
    assert "by a second person: dana planned it" in told
    assert statuses(imports.review(grave.id))["target"] == "fail"
    imports.execute("UPDATE \"Member\" SET phone = '1' WHERE id = %s", keys[0])
    drifted = imports.review(plan.id)
    assert "was changed since" in drifted.answer.headline
    assert statuses(drifted)["rows"] == "fail"
    assert not [step for step in drifted.answer.next_steps if step.command.startswith("approve")]
    # Made for another database, it names nobody of this one.
    foreign = clean(wb, keys, replace(wb.session.target, database="another", environment="club-2"))
    review = imports.review(foreign.id, unmask=True)
    assert "for database another, this is club" in review.answer.headline
    assert {"target": "fail"}.items() <= statuses(review).items()
    assert "rows" not in statuses(review)
    assert keys[0] in text(review, "rows")
    assert "@" not in text(review, "rows")
    imports.execute('ALTER TABLE "Member" RENAME phone TO mobile')
    changed = "has changed its columns or key since the plan was made (phone)"
    assert changed in imports.review(plan.id).answer.headline
    # What cannot be read, or is not there.
    with pytest.raises(UsageError, match=plan.id) as unknown:
        imports.review("rollback-00000")
    assert unknown.value.exit_code == 2
    plan.path.write_bytes(plan.path.read_bytes()[:-40])
    with pytest.raises(DocumentError, match=f"{plan.id}.plan is .*cut short"):
        imports.review(plan.id)


def test_notes_are_grouped_and_hostile_ones_are_text(imports: Imports) -> None:
    key, other = sorted(imports.run.created["Member"])[:2]
    event = imports.run.created["Event"][0]
    kept = [("Member", key, f"WA id {n} and {HOSTILE[0]}") for n in range(5000, 5060)]
    conflict = [
        ("Member", key, "phone", "8055550101", "not known", "8055550102", "somebody changed it; keep"),
        ("Event", event, "eventChairId", None, other, key, "a person changed it; restore"),
    ]
    unresolved = [("Member", key, "why", f"{HOSTILE[0]} {EMAIL}")]
    plan = clean(imports.open(), [key], kept=kept, conflict=conflict, unresolved=unresolved)  # type: ignore[arg-type]
    review = imports.review(plan.id)
    html, said = review.answer._repr_mimebundle_()["text/html"], text(review)
    for each in (html, said):
        assert SURNAME not in each
        assert EMAIL not in each
        assert "80555501" not in each
    assert "<script" not in html
    assert "WA id … and &lt;script&gt;" in html
    assert "showing 40 of 60" in html
    assert f"Member: {'•••'} Q•••" in text(review, "kept")
    assert "not known" in text(review, "conflicts")
    assert f"({other})" in text(review, "conflicts")
    seen = imports.review(plan.id, unmask=True)
    assert SURNAME in text(seen, "rows")
    assert "8055550102" in text(seen, "conflicts")
