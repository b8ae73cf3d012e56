-- title = "Confirmed registrations against seats"
-- guide = "§1.5"
-- symptom = "Events exceed capacity limits"
-- question = "Do the confirmed registrations of every event fit its capacity?"
-- remedy = "Check the capacity in the source; if it is right, some registrations belong on the waiting list."
-- without = ["events.title", "events.status"]

SELECT id AS key, title, capacity, taken
FROM events JOIN (SELECT event_id, count(*) AS taken FROM registrations WHERE status = 'CONFIRMED' GROUP BY event_id) AS seats
  ON seats.event_id = events.id
WHERE taken > capacity
