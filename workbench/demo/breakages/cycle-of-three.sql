-- guide: §1.2
-- symptom: Member linked to wrong person
-- checks: members-wrong-person
-- members: 3
SELECT * FROM demo.rotate();
