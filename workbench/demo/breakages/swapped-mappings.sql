-- guide: §1.2
-- symptom: Member linked to wrong person
-- checks: members-wrong-person
-- members: 2
-- Two members' WA ids point at each other's record: no orphan, no duplicate, all wrong.
SELECT * FROM demo.rotate();
