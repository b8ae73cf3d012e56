-- title = "Registrations of past events"
-- guide = "§1.1"
-- symptom = "Events imported but registrations failed"
-- severity = "warn"
-- question = "Does every published event that was over when the last run ended have registrations?"
-- remedy = "Look one up in the source. If it has attendees there, their import failed: run the importer again (§4.1)."
-- without = ["events.title", "events.published", "events.requires_registration"]

SELECT id AS key, title, start FROM events e
WHERE start < (SELECT coalesce(as_of, now) FROM here)
  AND published IS NOT FALSE AND requires_registration IS NOT FALSE
  AND NOT EXISTS (SELECT FROM registrations r WHERE r.event_id = e.id)
