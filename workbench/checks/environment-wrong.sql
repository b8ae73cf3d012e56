-- title = "Environment that the data come from"
-- guide = "§1.6"
-- symptom = "Wrong environment targeted"
-- question = "Did every run mean this environment, and are there no test people in it?"
-- remedy = "Stop. Nothing smaller than the snapshot from before the run is sure to take it all back (level 2)."
-- needs = ["members.email"]
-- without = ["runs"]

SELECT run AS key, runs.environment AS says, here.environment AS here, 'the run''s own record' AS evidence
FROM runs, here WHERE lower(runs.environment) NOT IN (lower(here.environment), here.kind)
UNION ALL
SELECT relname, 'demo data', here.environment, 'the table ' || relname || ' bears the mark of the workbench''s demo club'
FROM pg_class JOIN here ON here.kind IN ('production', 'staging')
WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace(quote_ident(here.schema))
  AND starts_with(obj_description(pg_class.oid, 'pg_class'), here.demo_mark)
UNION ALL
-- Domains that no person has an address at (RFC 2606): test data.
SELECT min(id::text), 'test data', here.environment,
       trim(to_char(count(*), '999,999,999')) || ' members with addresses at domains reserved for examples'
FROM members JOIN here ON here.kind IN ('production', 'staging')
WHERE lower(email) ~ '@(.*\.)?(example\.(com|net|org)|.*\.(test|example|invalid|localhost))$'
GROUP BY here.environment
