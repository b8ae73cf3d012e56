-- title = "Registrations across duplicate records"
-- guide = "§1.4"
-- symptom = "Split registrations"
-- question = "Is each person registered once for each event, counting their duplicates as one?"
-- remedy = "Merge the duplicate members (§4.4); of two registrations for one event one has to go."

WITH mailboxes AS (
  SELECT id, email,
         regexp_replace(split_part(plain, '@', 1), '\+.*$|\.', '', 'g') || '@' || split_part(plain, '@', 2) AS mailbox
  -- A server normalises in UTF-8 alone; in most other encodings an address has one form anyway.
  FROM (SELECT *, lower(trim(CASE getdatabaseencoding() WHEN 'UTF8' THEN normalize(email, NFKC) ELSE email END)) AS plain
        FROM members WHERE trim(email) <> '') AS addressed
), shared AS (SELECT mailbox FROM mailboxes GROUP BY mailbox HAVING count(*) > 1),
of_duplicates AS (
  SELECT r.id AS key, r.event_id AS event, r.member_id AS member, m.email,
         count(*) OVER (PARTITION BY r.event_id, m.mailbox) AS registrations
  FROM registrations r JOIN mailboxes m ON m.id = r.member_id JOIN shared USING (mailbox)
)
SELECT * FROM of_duplicates WHERE registrations > 1
