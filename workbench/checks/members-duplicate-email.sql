-- title = "Uniqueness of members' e-mail addresses"
-- guide = "§1.4"
-- symptom = "Member appears twice in list"
-- question = "Does each e-mail address, whatever its case, dots and plus tag, belong to one member?"
-- remedy = "Look at each pair: one person is merged into the record with more associations (§4.4); a family that shares an address is not one person."
-- without = ["members.first_name", "members.last_name"]

WITH addressed AS (SELECT id, first_name, last_name, email, mailbox FROM members WHERE trim(email) <> ''),
shared AS (SELECT mailbox, count(*) AS members FROM addressed GROUP BY mailbox HAVING count(*) > 1)
SELECT id AS key, first_name, last_name, email, shared.members FROM addressed JOIN shared USING (mailbox)
