-- Every change of a job's record is one atomic step; `job_records.py` says what each is for.
-- KEYS[1] is the prefix of all keys, ARGV[1] the step's name, ARGV[2] the job's id.

local LOST_RUNS = 3 -- a job that takes its worker down this often in a row is not tried again

local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local queued = prefix .. 'queued'   -- when each queued job is due
local running = prefix .. 'running' -- when each running job was last heard of
local failed = prefix .. 'failed'   -- when each failed job failed

local function key(id)
  return prefix .. 'job:' .. id
end

local function state_of(id)
  return redis.call('HGET', key(id), 'state')
end

local function queue(id, due)
  redis.call('ZREM', running, id)
  redis.call('ZADD', queued, due, id)
  redis.call('HSET', key(id), 'state', 'queued')
  redis.call('HDEL', key(id), 'owner')
end

local function close(id, state, kept)
  redis.call('ZREM', queued, id)
  redis.call('ZREM', running, id)
  redis.call('HSET', key(id), 'state', state)
  redis.call('HDEL', key(id), 'owner')
  redis.call('PEXPIRE', key(id), kept)
  if state == 'failed' then
    redis.call('ZADD', failed, now, id)
  end
end

-- The worker of a running job is gone: the job is due again, unless that is hopeless.
-- Returns the state that the job has now.
local function lose(id, kept)
  local state = 'queued'
  if redis.call('HGET', key(id), 'cancel') then
    state = 'cancelled'
  elseif redis.call('HINCRBY', key(id), 'lost', 1) >= LOST_RUNS then
    redis.call('HSET', key(id), 'error', LOST_RUNS .. ' workers in a row died while running it')
    state = 'failed'
  end
  if state == 'queued' then
    queue(id, now)
  else
    close(id, state, kept)
  end
  return state
end

local steps = {}

function steps.create(id, due, call)
  if state_of(id) then
    redis.call('HSET', key(id), 'shared', 1)
    return 0
  end
  redis.call('HSET', key(id), 'call', call)
  queue(id, math.max(now, tonumber(due)))
  return 1
end

function steps.take(id, owner, silence, kept, call)
  local state = state_of(id)
  if not state then -- whoever sent it did not write a record
    redis.call('HSET', key(id), 'call', call)
  elseif state == 'running' then
    if now - redis.call('ZSCORE', running, id) < tonumber(silence) then
      return 'running'
    elseif lose(id, kept) == 'failed' then
      return 'poison'
    end
  elseif state == 'queued' and redis.call('ZSCORE', queued, id) - now > 1000 then
    return 'early' -- it waits for its next attempt
  end
  state = state_of(id)
  if state and state ~= 'queued' then
    return state
  end
  redis.call('ZREM', queued, id)
  redis.call('ZADD', running, now, id)
  redis.call('HSET', key(id), 'state', 'running', 'owner', owner)
  return 'taken'
end

function steps.renew(id, owner, progress)
  if redis.call('HGET', key(id), 'owner') ~= owner then
    return 'lost'
  end
  redis.call('ZADD', running, now, id)
  if progress ~= '' and redis.call('HGET', key(id), 'progress') ~= progress then
    redis.call('HSET', key(id), 'progress', progress, 'lost', 0)
  end
  return redis.call('HGET', key(id), 'cancel') and 'cancel' or 'held'
end

function steps.finish(id, owner, state, kept, progress, result, error, due)
  if redis.call('HGET', key(id), 'owner') ~= owner then
    return 0
  end
  redis.call('HSET', key(id), 'progress', progress, 'result', result, 'error', error, 'lost', 0)
  if state ~= 'queued' then
    close(id, state, kept)
  elseif redis.call('HGET', key(id), 'cancel') then
    close(id, 'cancelled', kept)
  else
    queue(id, due)
  end
  return 1
end

function steps.fail(id, kept, error)
  local state = state_of(id)
  if state == 'running' or state == 'queued' then
    redis.call('HSET', key(id), 'error', error)
    close(id, 'failed', kept)
  end
end

function steps.cancel(id, kept)
  local state = state_of(id)
  if state == 'queued' then
    close(id, 'cancelled', kept)
  elseif state == 'running' then
    redis.call('HSET', key(id), 'cancel', 1)
  end
  return state
end

function steps.revive(id)
  local state = state_of(id)
  if state == 'failed' or state == 'cancelled' then
    redis.call('ZREM', failed, id)
    redis.call('HDEL', key(id), 'cancel', 'error', 'lost')
    redis.call('PERSIST', key(id))
    queue(id, now)
  end
  return state
end

-- Take back what `create` or `revive` queued, if nobody else relies on it yet.
function steps.withdraw(id, state, kept)
  if state_of(id) == 'queued' and not redis.call('HGET', key(id), 'shared') then
    if state == '' then
      redis.call('ZREM', queued, id)
      redis.call('DEL', key(id))
    else
      close(id, state, kept)
    end
  end
end

-- Find jobs that no worker runs and no message announces.
function steps.sweep(_, waiting, silence, kept, limit)
  local found = {}
  local since = redis.call('GET', prefix .. 'swept_since') or now
  redis.call('SET', prefix .. 'swept_since', since, 'PX', silence)
  -- After an outage of Redis nobody has been heard of: wait until those alive have spoken.
  if now - since >= tonumber(silence) then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', running, '-inf', now - silence)) do
      if lose(id, kept) == 'queued' then
        table.insert(found, id)
      end
    end
  end
  -- Messages are delivered in their order: of the jobs that are due, all but the newest
  -- `waiting` (the number of messages in the queue) have been delivered to someone.
  local delivered = redis.call('ZCOUNT', queued, '-inf', now) - #found - waiting
  if delivered > 0 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', queued, '-inf', now - silence, 'LIMIT', 0,
        math.min(delivered, limit))) do
      redis.call('ZADD', queued, now, id)
      table.insert(found, id)
    end
  end
  return found
end

-- Records expire by themselves; the list of failed jobs does not.
function steps.forget_expired(_, kept)
  return redis.call('ZREMRANGEBYSCORE', failed, '-inf', now - kept)
end

return steps[ARGV[1]](unpack(ARGV, 2))
