-- title = "State of published events"
-- guide = "§1.5"
-- symptom = "Transform functions not applying org rules"
-- severity = "warn"
-- question = "Is any imported event both published and a draft? The importers publish it, and leave its initial state."
-- remedy = "Open them in the application, and publish or unpublish them."
-- without = ["events.title", "events.start", "events.run_id", "mappings", "audit"]

SELECT id AS key, title, start, status FROM events e
WHERE published AND status = 'DRAFT' AND EXISTS (SELECT FROM runs) AND (
  run_id IS NOT NULL
  OR EXISTS (SELECT FROM mappings m WHERE m.entity_type = 'Event' AND m.target = e.id)
  OR EXISTS (SELECT FROM audit a WHERE a.resource_type = 'Event' AND a.resource_id = e.id
             AND a.action = 'CREATE' AND a.run_id IS NOT NULL)
  OR id::text IN (SELECT record_id FROM reported WHERE entity = 'Event'))
