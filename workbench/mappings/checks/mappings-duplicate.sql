-- title = "Mappings per Wild Apricot id"
-- guide = "§1.2"
-- symptom = "Duplicate mappings"
-- question = "Is each Wild Apricot id of each kind mapped once?"
-- remedy = "Keep the mapping that leads to the right record and remove the other (§4.2)."

WITH twice AS (
  SELECT coalesce(entity_type, '') AS kind, wa_id FROM mappings GROUP BY 1, 2 HAVING count(*) > 1
)
SELECT kind || '/' || wa_id AS key, count(*) AS mappings, string_agg(target::text, ', ' ORDER BY target) AS targets
FROM mappings JOIN twice USING (wa_id) WHERE coalesce(entity_type, '') = kind
GROUP BY kind, wa_id
