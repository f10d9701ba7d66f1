-- Stands alone, without the prelude: there may be no store yet.
-- KEYS[1]: meta. ARGV: a new store_id, schema_version, min_code
-- Answers the store_id that stands.
redis.call('HSETNX', KEYS[1], 'store_id', ARGV[1])
redis.call('HSET', KEYS[1], 'schema_version', ARGV[2], 'min_code', ARGV[3])
return redis.call('HGET', KEYS[1], 'store_id')
