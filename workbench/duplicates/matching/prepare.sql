-- What is counted once, before pairs are compared, as DuckDB has it; Spark is given the translation.
-- Each section is the query of one table. Numbers that are not whole are written with an exponent: then they are
-- floating-point numbers on both. What stands in braces is filled in by prepare.py.

-- [figures]
SELECT count(*) AS members, (SELECT count(*) FROM (SELECT DISTINCT id FROM folded) AS once) AS ids,
    count(*) FILTER (WHERE strpos(email_local, replace(first_name, ' ', '')) > 0) AS named_addresses
    {counts}
FROM folded

-- [shares]
WITH counted AS (SELECT {column} AS name, count(*) AS bearers FROM folded WHERE {column} IS NOT NULL GROUP BY {column}),
-- What the census does not list is mostly as rare as misspellings; where a club has many such names it is not.
strange AS (SELECT sum(bearers) AS strangers, count(*) AS names FROM counted LEFT JOIN census USING (name)
    WHERE coalesce(census.{column}, 0) = 0),
least_share AS (SELECT coalesce(power(strangers / (SELECT sum(bearers) FROM counted), 2) / names, 0) AS least_share FROM strange),
others AS (SELECT name, bearers, greatest(bearers - 2, 0) AS others, coalesce(census.{column}, 0) AS listed,
    (SELECT count(*) FROM folded) AS members FROM counted LEFT JOIN census USING (name))
SELECT name, listed > 0 OR bearers >= 3 AS known, greatest(least_share, others / members,
    (others + {census_weight} * greatest(listed, {unlisted})) / (members + {census_weight})) AS share
FROM others CROSS JOIN least_share

-- [people]
SELECT folded.*, cast(row_number() OVER (ORDER BY id) AS integer) AS place, '' AS match_key,
    least(first_name, last_name) || ' ' || greatest(first_name, last_name) AS names,
    first_name || '|' || last_name AS both_names,
    least(substr(first_name, 1, 3), substr(last_name, 1, 3)) || greatest(substr(first_name, 1, 3), substr(last_name, 1, 3)) AS starts,
    least(substr(first_name, 1, 1), substr(last_name, 1, 1)) || greatest(substr(first_name, 1, 1), substr(last_name, 1, 1)) AS initials,
    coalesce(given.known, FALSE) AS first_known, given.share AS first_share, coalesce(family.known, FALSE) AS last_known,
    kin.forms AS kin, kin.likely AS pets, kin_last.forms AS kin_last, substr(last_name, 1, 2) AS last_start,
    regexp_replace(email_local, '[^0-9]', '', 'g') AS email_digits,
    regexp_replace(email_said, '[0-9]', '', 'g') AS email_letters,
    substr(email_local, greatest(length(email_local) - 3, 1)) AS email_end, substr(email_local, 1, 10) AS email_start,
    substr(phone, greatest(length(phone) - 3, 1)) AS phone_end,
    substr(phone, greatest(length(phone) - 9, 1), 6) AS phone_start,
    emails.names AS email_names, phones.names AS phone_names
FROM folded LEFT JOIN first_name_shares AS given ON first_name = given.name
LEFT JOIN last_name_shares AS family ON last_name = family.name
LEFT JOIN (SELECT email AS mailbox, count(DISTINCT first_name || '|' || last_name) AS names FROM folded GROUP BY email) AS emails ON email = mailbox
LEFT JOIN (SELECT phone AS line, count(DISTINCT first_name || '|' || last_name) AS names FROM folded GROUP BY phone) AS phones ON phone = line
LEFT JOIN kin ON first_name = kin.name LEFT JOIN kin AS kin_last ON last_name = kin_last.name

-- What takes the place of u for a value: its share among strangers.

-- [tf_first_name]
SELECT name AS first_name, share AS tf_first_name FROM first_name_shares

-- [tf_last_name]
SELECT name AS last_name, share AS tf_last_name FROM last_name_shares

-- [tf_both_names]
-- No single name is rarer evidence than one in ten thousand; a father and a son have both names as well.
SELECT both_names, max(greatest(given.share, 1e-4) * greatest(family.share, 1e-4)) + {namesakes} AS tf_both_names
FROM people JOIN first_name_shares AS given ON first_name = given.name
JOIN last_name_shares AS family ON last_name = family.name GROUP BY both_names

-- [tf_names]
-- Thomas James and James Thomas may both be right: then that they are exchanged explains little.
SELECT names, max({exchanged} * greatest(straight, crossed) + least(straight, crossed)) + {exchanged} * {namesakes} AS tf_names
FROM (SELECT names, given.share * family.share AS straight,
    coalesce(given_crossed.share, {unlisted}) * coalesce(family_crossed.share, {unlisted}) AS crossed
    FROM people JOIN first_name_shares AS given ON first_name = given.name
    JOIN last_name_shares AS family ON last_name = family.name
    LEFT JOIN first_name_shares AS given_crossed ON last_name = given_crossed.name
    LEFT JOIN last_name_shares AS family_crossed ON first_name = family_crossed.name) AS ways
GROUP BY names

-- [tf_email]
SELECT email, least((2e-3 + {housemates} * 4.5e-3 + greatest(max(email_names) - {family}, 0)) / {members}, 5e-1) AS tf_email
FROM people WHERE email IS NOT NULL GROUP BY email

-- [tf_phone]
SELECT phone, least((1e-2 + {housemates} * 9.75e-2 + greatest(max(phone_names) - {family} - 1, 0)) / {members}, 5e-1) AS tf_phone
FROM people WHERE phone IS NOT NULL GROUP BY phone

-- [tf_email_own]
-- A five-hundredth of how many strangers of one name make an address by this pattern, as members do, and hit upon the same digits.
-- A pattern that hardly anybody has counts by its letters, as if a thousand further members were known.
SELECT email_own, (greatest(count(*) - 2, 0) + 2.25e2 * power(1e1, -least(length(email_own) - digits, 3))) / ({members} + 1e3)
    * power(1e1, -least(digits, 6)) / 5e2 AS tf_email_own
FROM (SELECT email_own, length(regexp_replace(email_own, '[^0-9]', '', 'g')) AS digits FROM people WHERE email_own IS NOT NULL) AS patterns
GROUP BY email_own, digits

-- [date]
-- A few initials behind a day may be one person's spellings; more are people.
SELECT {field}, CASE WHEN count(DISTINCT initials) > 6 THEN (count(DISTINCT both_names) - 3) / {members} ELSE 0 END AS tf_{field}
FROM people WHERE {field} IS NOT NULL GROUP BY {field}

-- [address]
SELECT {field}, least((1e-2 + {housemates} * 5e-1 + greatest(count(DISTINCT both_names) - {family}, 0)) / {members}, 5e-1) AS tf_{field}
FROM people WHERE {field} IS NOT NULL GROUP BY {field}

-- [identifier]
SELECT {field}, least(greatest(count(DISTINCT initials) - 3, 0) / {members}, 5e-1) AS tf_{field}
FROM people WHERE {field} IS NOT NULL GROUP BY {field}

-- [keyed]
-- Who shares a key, each key for itself; where more share it than are compared, a narrower one.
WITH said AS (SELECT key, place, hash(cast(key AS varchar) || '|' || shared) AS wide,
        hash(cast(key AS varchar) || '|' || shared || '|' || coalesce(cast(further AS varchar), '')) AS narrow
    FROM ({keys}) AS every WHERE shared IS NOT NULL),
shared AS (SELECT wide, count(*) AS size FROM said GROUP BY wide HAVING count(*) > 1),
narrowed AS (SELECT key, place, CASE WHEN size > {largest} THEN narrow ELSE wide END AS block FROM said JOIN shared USING (wide)),
blocks AS (SELECT block, count(*) AS size FROM narrowed GROUP BY block HAVING count(*) > 1)
SELECT key, place, block, size FROM narrowed JOIN blocks USING (block)

-- [left_out]
SELECT key, count(DISTINCT block) AS blocks, count(DISTINCT place) AS members FROM keyed WHERE size > {largest} GROUP BY key ORDER BY key

-- [pairs]
-- Who shares two of surname, phone, mailbox and address may be housemates: these pairs are weighed against them. The letters of
-- match_key: h or s, then the level of each comparison (model.py, splink_settings).
SELECT low AS join_key_l, high AS join_key_r, CASE WHEN
    CASE WHEN coalesce(l.phone = r.phone AND l.phone_names <= {line}, FALSE) THEN 1 ELSE 0 END
    + CASE WHEN coalesce(l.email = r.email AND l.email_names <= {family}, FALSE) THEN 1 ELSE 0 END
    + CASE WHEN coalesce(l.last_start = r.last_start OR damerau_levenshtein(l.last_name, r.last_name) = 1 OR l.first_name = r.last_name
        OR l.last_name = r.first_name, FALSE) THEN 1 ELSE 0 END
    {addresses} >= 2 THEN 'h' ELSE 's' END || {levels} AS match_key
FROM (SELECT DISTINCT one.place AS low, other.place AS high FROM keyed AS one JOIN keyed AS other USING (block)
    WHERE one.place < other.place AND one.size <= {largest}) AS candidates
JOIN people AS l ON l.place = low JOIN people AS r ON r.place = high

-- [random]
-- Pairs of members drawn alike each time, of different names.
WITH numbered AS (SELECT place, row_number() OVER (ORDER BY md5(id)) - 1 AS number FROM people),
drawn AS (SELECT place AS low, (number + step) % {members} AS number FROM numbered CROSS JOIN (VALUES {steps}) AS steps(step) WHERE number < {sample})
SELECT low, numbered.place AS high FROM drawn JOIN numbered USING (number)
JOIN people AS l ON l.place = low JOIN people AS r ON r.place = numbered.place
WHERE low <> numbered.place AND NOT coalesce(l.first_name IN (r.first_name, r.last_name), FALSE) AND NOT coalesce(l.last_name IN (r.first_name, r.last_name), FALSE)
