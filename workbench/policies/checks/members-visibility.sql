-- title = "Visibility of private members"
-- guide = "§1.5"
-- symptom = "Members in wrong visibility groups"
-- risk = "critical"
-- question = "Are private members and photos hidden from those who may not see them?"
-- remedy = "Take them out of public view first, then find the setting that the importer did not carry over."
-- harmless = ["seen_by", "photo"]
-- either = [["members.is_private", "members.visibility"], ["members.photo_id", "files.is_public", "file_access.file_id"]]
-- without = ["members.is_private", "members.visibility", "members.photo_id", "members.first_name", "members.last_name", "files", "file_access"]

SELECT id AS key, first_name, last_name, visibility AS seen_by, NULL AS photo
FROM members WHERE is_private AND upper(visibility) = 'PUBLIC'
UNION ALL
SELECT m.id, first_name, last_name, NULL, f.id::text
FROM members m JOIN files f ON f.id = m.photo_id
WHERE f.is_public AND EXISTS (SELECT FROM file_access WHERE file_id = f.id)
-- fix
SELECT 'members' AS "table", id AS key, 'visibility' AS "column",
       CASE visibility WHEN lower(visibility) THEN 'private' ELSE 'PRIVATE' END AS value
FROM members WHERE is_private AND upper(visibility) = 'PUBLIC'
UNION ALL
SELECT DISTINCT 'files', f.id, 'is_public', 'false'
FROM members m JOIN files f ON f.id = m.photo_id
WHERE f.is_public AND EXISTS (SELECT FROM file_access WHERE file_id = f.id)
