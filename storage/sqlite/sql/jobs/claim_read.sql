-- All rows as one text, for the same reason as in claim_peek. A long payload is fetched by itself.
SELECT group_concat(
    '["' || hex(id) || '","' || hex(name) || '",'
    || CASE WHEN length(payload) <= 4096 THEN '"' || hex(payload) || '"' ELSE 'null' END
    || ',' || priority || ',' || attempt || ',' || claim_token || ',' || crashes || ',' || inserted_at || ','
    || coalesce(timeout_ms, 'null') || ']'
)
FROM jobs
WHERE id IN (/*each*/ ? /*end*/)
