-- title = "Uniqueness of members' e-mail addresses"
-- guide = "§1.4"
-- symptom = "Member appears twice in list"
-- question = "Does each e-mail address, whatever its case, dots and plus tag, belong to one member?"
-- remedy = "Look at each pair: one person is merged into the record with more associations (§4.4); a family that shares an address is not one person."
-- without = ["members.first_name", "members.last_name"]

WITH mailboxes AS (
  SELECT id, first_name, last_name, email,
         regexp_replace(split_part(plain, '@', 1), '\+.*$|\.', '', 'g') || '@' || split_part(plain, '@', 2) AS mailbox
  -- A server normalises in UTF-8 alone; in most other encodings an address has one form anyway.
  FROM (SELECT *, lower(trim(CASE getdatabaseencoding() WHEN 'UTF8' THEN normalize(email, NFKC) ELSE email END)) AS plain
        FROM members WHERE trim(email) <> '') AS addressed
), shared AS (SELECT mailbox, count(*) AS members FROM mailboxes GROUP BY mailbox HAVING count(*) > 1)
SELECT id AS key, first_name, last_name, email, shared.members FROM mailboxes JOIN shared USING (mailbox)
