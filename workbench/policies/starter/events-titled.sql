-- title = "Events without a title"
-- guide = "§1.5"
-- question = "Is every field filled that must be?"
-- remedy = "Fill them in from the source; the transform that left them empty wants looking at."

-- A space of whatever kind is no title; the database's own idea of one may know ASCII only.
SELECT id AS key, start FROM events
WHERE title IS NULL OR title !~ '[^[:space:]\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u2060\u3000\ufeff]'
