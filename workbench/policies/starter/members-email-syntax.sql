-- title = "Addresses that no mail can be sent to"
-- guide = "§1.5"
-- severity = "warn"
-- question = "Can mail be sent to every address, as far as its spelling goes?"
-- remedy = "Ask the person, or correct the obvious typing error in the source and import again."

-- An address as people have them: no quotes, no comments, a domain with a dot. Letters are anybody's alphabet.
SELECT id AS key, first_name, last_name, email FROM members
WHERE email ~ '[^[:space:]]'
  AND email !~ '^[^[:space:]@.,:;<>()"\[\]\\]+(\.[^[:space:]@.,:;<>()"\[\]\\]+)*@([^[:space:][:punct:]]([^[:space:]@.,:;/_]*[^[:space:][:punct:]])?\.)+(?![0-9]+$)[^[:space:][:punct:]]([^[:space:]@.,:;/_]*[^[:space:][:punct:]])?$'
