-- title = "Registrations outside the time in which the event took them"
-- guide = "§1.5"
-- severity = "warn"
-- optional = true
-- question = "Was every registration made while the event took registrations?"
-- remedy = "Check the registration's event in the source: it may hang on the wrong one (§1.2)."

SELECT r.id AS key, r.registered_at, r.event_id, e.title, e.opens, e.deadline
FROM registrations r JOIN events e ON e.id = r.event_id
WHERE r.registered_at > e.deadline OR r.registered_at < e.opens
