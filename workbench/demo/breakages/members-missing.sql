-- guide: §1.1
-- symptom: Some members imported, others missing
-- checks: members-missing records-missing
-- The members that the last run created go, with all that hangs on them; the run's traces stay.
SELECT demo.erase('Member', array_agg(id::text)) FROM "Member"
WHERE "createdAt" BETWEEN demo.second_run() AND demo.last_finish();
SELECT demo.last_run() AS key;
