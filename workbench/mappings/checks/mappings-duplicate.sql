-- title = "Mappings per Wild Apricot id"
-- guide = "§1.2"
-- symptom = "Duplicate mappings"
-- question = "Is each Wild Apricot id of each kind mapped once?"
-- remedy = "Keep the mapping that leads to the right record and remove the other (§4.2)."
-- unique = ["mappings.entity_type", "mappings.wa_id"]

SELECT coalesce(entity_type, '') || '/' || wa_id AS key, count(*) AS mappings, string_agg(target::text, ', ' ORDER BY target) AS targets
FROM mappings WHERE wa_id IN (SELECT wa_id FROM mappings GROUP BY wa_id HAVING count(*) > 1)
GROUP BY coalesce(entity_type, ''), wa_id HAVING count(*) > 1
