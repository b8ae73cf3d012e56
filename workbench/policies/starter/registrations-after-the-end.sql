-- title = "Registrations made after the event was over"
-- guide = "§1.5"
-- severity = "warn"
-- question = "Was every registration made while the event took registrations?"
-- remedy = "Check the registration's event in the source: it may hang on the wrong one (§1.2)."

SELECT r.id AS key, r.registered_at, r.event_id, e.title, e.start, e."end"
FROM registrations r JOIN events e ON e.id = r.event_id
WHERE r.registered_at > greatest(e.start, coalesce(e."end", e.start))
