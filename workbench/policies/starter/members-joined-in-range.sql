-- title = "Members who joined before the club was founded, or in the future"
-- guide = "§1.5"
-- question = "Does every date lie where it can?"
-- remedy = "Look the date up in the source: two digits of a year, or day and month swapped."

-- The day your club was founded:
SELECT id AS key, first_name, last_name, joined_at
FROM members, here WHERE joined_at < '1900-01-01' OR joined_at > now + interval '1 day'
