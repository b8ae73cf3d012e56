-- title = "Uniqueness of registrations"
-- guide = "§1.4"
-- symptom = "Split registrations"
-- question = "Is each member registered at most once for each event?"
-- remedy = "Keep the registration that the mapping leads to, or the one with a payment, and remove the other."
-- unique = ["registrations.member_id", "registrations.event_id"]

SELECT min(id::text) AS key, event_id AS event, member_id AS member, count(*) AS registrations
FROM registrations WHERE event_id IS NOT NULL AND member_id IS NOT NULL
GROUP BY event_id, member_id HAVING count(*) > 1
