-- title = "Registrations across duplicate records"
-- guide = "§1.4"
-- symptom = "Split registrations"
-- question = "Is each person registered once for each event, counting their duplicates as one?"
-- remedy = "Merge the duplicate members (§4.4); of two registrations for one event one has to go."

WITH addressed AS (SELECT id, email, mailbox FROM members WHERE trim(email) <> ''),
shared AS (SELECT mailbox FROM addressed GROUP BY mailbox HAVING count(*) > 1),
of_duplicates AS (
  SELECT r.id AS key, r.event_id AS event, r.member_id AS member, m.email,
         count(*) OVER (PARTITION BY r.event_id, m.mailbox) AS registrations
  FROM registrations r JOIN addressed m ON m.id = r.member_id JOIN shared USING (mailbox)
)
SELECT * FROM of_duplicates WHERE registrations > 1
