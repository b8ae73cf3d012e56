-- title = "People in a demo or development database"
-- guide = "§1.6"
-- symptom = "Wrong environment targeted"
-- severity = "warn"
-- question = "Are the people of a demo made up, and is a development database no copy of the club?"
-- remedy = "Find out who loaded them, and from where; then make the database anew without them (`workbench demo`)."

-- In a demo one is too many; in development half a club, or fifty where nothing says how large it is.
WITH domains AS MATERIALIZED (  -- counted before each is judged
  SELECT lower(reverse(split_part(reverse(email), '@', 1))) AS domain, count(*) AS people
  FROM members WHERE email LIKE '%@%' GROUP BY 1
),
real AS (
  SELECT domain, people, sum(people) OVER () AS of_all FROM domains
  -- At the others no person has an address (RFC 2606): test data.
  WHERE domain !~ '^(.*\.)?(example\.(com|net|org)|.*\.(test|example|invalid|localhost))$'
)
SELECT trim(domain) AS key, people AS members, kind AS here,
       'of ' || trim(to_char(of_all, '999,999,999')) || ' real-looking addresses'
       || CASE WHEN of_all >= club_members / 2 THEN '; the club itself has ' || trim(to_char(club_members, '999,999,999')) || ' members' ELSE '' END AS evidence
FROM real, here
WHERE kind = 'demo' OR kind = 'development' AND of_all >= greatest(coalesce(club_members / 2, 50), 1)
