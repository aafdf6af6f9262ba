//! What Redis does in one step. Each script is told all keys that it touches, as a cluster demands.

use redis::Script;

/// Stores records; returns the ids of those that are there already.
/// Keys: the set of ids; for each record its own, then those of its digests.
/// Arguments for each record: its id, its text, when it goes away in milliseconds or nothing, and how many digests it has.
const INSERT: &str = r"
local at, known = 2, {}
for n = 1, #ARGV, 4 do
  local id, text, ends, last = ARGV[n], ARGV[n + 1], ARGV[n + 2], at + tonumber(ARGV[n + 3])
  local taken = false
  for key = at, last do
    taken = taken or redis.call('EXISTS', KEYS[key]) == 1
  end
  if taken then
    known[#known + 1] = id
  else
    redis.call('ZADD', KEYS[1], 0, id)
    redis.call('SET', KEYS[at], text)
    for key = at + 1, last do
      redis.call('SET', KEYS[key], id)
    end
    if ends ~= '' then
      for key = at, last do
        redis.call('PEXPIREAT', KEYS[key], ends)
      end
    end
  end
  at = last + 1
end
return known
";

/// Puts a record in the place of one, if that is still there. Returns 0 if it is not, 1, or 2 if a digest is another key's.
/// Keys: the record, when it was used, the digests it has, those it has no more.
/// Arguments: its id, the text before, the text after, when it goes away or nothing, how many digests it has.
const REPLACE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return 0
end
local last = 2 + tonumber(ARGV[5])
for key = 3, last do
  local owner = redis.call('GET', KEYS[key])
  if owner and owner ~= ARGV[1] then
    return 2
  end
end
redis.call('SET', KEYS[1], ARGV[3])
for key = 3, last do
  redis.call('SET', KEYS[key], ARGV[1])
end
for key = last + 1, #KEYS do
  if redis.call('GET', KEYS[key]) == ARGV[1] then
    redis.call('DEL', KEYS[key])
  end
end
if ARGV[4] ~= '' then
  for key = 1, last do
    redis.call('PEXPIREAT', KEYS[key], ARGV[4])
  end
end
return 1
";

/// Drops a record, if it is still as it was. Returns whether.
/// Keys: the set of ids, the record, when it was used, its digests. Arguments: its id, its text.
const DROP: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3])
for key = 4, #KEYS do
  if redis.call('GET', KEYS[key]) == ARGV[1] then
    redis.call('DEL', KEYS[key])
  end
end
return 1
";

/// Forgets the ids of records that are gone. Keys: the set of ids; the records. Arguments: their ids.
const FORGET: &str = r"
for n = 1, #ARGV do
  if redis.call('EXISTS', KEYS[n + 1]) == 0 then
    redis.call('ZREM', KEYS[1], ARGV[n])
  end
end
";

/// Writes when keys were used, unless a later time is there. The entry goes away with the record.
/// Keys for each: the record, when it was used. Arguments: seconds.
const TOUCH: &str = r"
for n = 1, #ARGV do
  local record, used = KEYS[2 * n - 1], KEYS[2 * n]
  local known = tonumber(redis.call('GET', used) or '-1')
  if redis.call('EXISTS', record) == 1 and known < tonumber(ARGV[n]) then
    local left = redis.call('PTTL', record)
    redis.call('SET', used, ARGV[n])
    if left > 0 then
      redis.call('PEXPIRE', used, left)
    end
  end
end
";

pub(super) struct Scripts {
    pub(super) insert: Script,
    pub(super) replace: Script,
    pub(super) drop: Script,
    pub(super) forget: Script,
    pub(super) touch: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let [insert, replace, drop, forget, touch] = [INSERT, REPLACE, DROP, FORGET, TOUCH].map(Script::new);
        Self { insert, replace, drop, forget, touch }
    }
}
