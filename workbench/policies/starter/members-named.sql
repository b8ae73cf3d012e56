-- title = "Members without a name or an address"
-- guide = "§1.5"
-- question = "Is every field filled that must be?"
-- remedy = "Fill them in from the source; the transform that left them empty wants looking at."
-- harmless = ["empty_field"]

-- A space of whatever kind is no name; the database's own idea of one may know ASCII only.
SELECT id AS key, first_name, last_name, string_agg(field, ', ') AS empty_field
FROM members, LATERAL (VALUES ('first_name', first_name), ('last_name', last_name), ('email', email)) AS v(field, value)
WHERE value IS NULL OR value !~ '[^[:space:]\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u2060\u3000\ufeff]'
GROUP BY id, first_name, last_name
