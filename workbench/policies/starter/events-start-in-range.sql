-- title = "Events in a year that cannot be meant"
-- guide = "§1.5"
-- severity = "warn"
-- question = "Does every date lie where it can?"
-- remedy = "Look the date up in the source: two digits of a year, or day and month swapped."

SELECT id AS key, title, start FROM events, here WHERE start < '1950-01-01' OR start > now + interval '1100 days'
