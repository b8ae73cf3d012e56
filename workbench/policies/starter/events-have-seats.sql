-- title = "Events without a single seat"
-- guide = "§1.5"
-- severity = "warn"
-- question = "Is every number as large as it can be, and no larger?"

SELECT id AS key, title, capacity FROM events WHERE capacity < 1
