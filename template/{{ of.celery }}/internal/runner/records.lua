-- Every change of a job's record is one atomic step; `records.py` says what each is for.
-- KEYS[1] is the prefix of all keys, ARGV[1] the step's name, ARGV[2] the job's id.

local LOST_RUNS = 3 -- a job that takes its worker down this often in a row is not tried again
local WITHDRAWN = 24 * 60 * 60 * 1000 -- ms in which a message may still come of a job that was taken back
local EARLY = 50 -- ms by which clocks and timers may differ

local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local scheduled = prefix .. 'scheduled' -- jobs without a message: when each is due
local running = prefix .. 'running'     -- when each running job's lease was renewed
local expiring = prefix .. 'expiring'   -- when each ended job is to be forgotten

local function key(id)
  return prefix .. 'job:' .. id
end

local function steps_of(id) -- the steps that a workflow has done
  return prefix .. 'steps:' .. id
end

local function withdrawn(id) -- there was a job whose message may still come
  return prefix .. 'withdrawn:' .. id
end

local function queue_of(name) -- jobs with a message: when it was sent
  return prefix .. 'queued:' .. name
end

local function index(kind, state) -- the jobs of a kind in a state, by their creation
  return prefix .. 'jobs:' .. state .. ':' .. kind
end

local function get(id, field)
  return redis.call('HGET', key(id), field)
end

local function set_state(id, state)
  local kind, created, before = unpack(redis.call('HMGET', key(id), 'kind', 'created', 'state'))
  if before then
    redis.call('ZREM', index(kind, before), id)
  end
  redis.call('ZADD', index(kind, state), created, id)
  redis.call('HSET', key(id), 'state', state)
end

local function leave_queue(id)
  redis.call('ZREM', queue_of(get(id, 'queue')), id)
  redis.call('ZREM', scheduled, id)
end

local function announce(id) -- a message follows
  redis.call('ZREM', running, id)
  redis.call('ZREM', scheduled, id)
  redis.call('ZADD', queue_of(get(id, 'queue')), now, id)
  redis.call('HDEL', key(id), 'owner')
  set_state(id, 'queued')
end

local function schedule(id, due) -- no message, until the sweep finds it
  redis.call('ZREM', running, id)
  redis.call('ZREM', queue_of(get(id, 'queue')), id)
  redis.call('ZADD', scheduled, due, id)
  redis.call('HDEL', key(id), 'owner')
  set_state(id, 'queued')
end

local function close(id, state, kept)
  leave_queue(id)
  redis.call('ZREM', running, id)
  redis.call('HDEL', key(id), 'owner')
  redis.call('ZADD', expiring, now + kept, id)
  set_state(id, state)
end

local function forget(id)
  local kind, state = unpack(redis.call('HMGET', key(id), 'kind', 'state'))
  if state then
    leave_queue(id)
    redis.call('ZREM', index(kind, state), id)
  end
  redis.call('ZREM', expiring, id)
  redis.call('DEL', key(id), steps_of(id))
end

local function taken(id)
  return {'taken', redis.call('HGETALL', steps_of(id)),
    unpack(redis.call('HMGET', key(id), 'input', 'attempts', 'lost', 'progress', 'since'))}
end

local function info(id)
  return redis.call('HMGET', key(id), 'kind', 'state', 'progress', 'result', 'error',
    'enqueued_by')
end

local function message(id)
  return {id, unpack(redis.call('HMGET', key(id), 'task', 'queue'))}
end

-- The worker of a running job is gone: the job is due again, unless that is hopeless.
-- Returns the state that the job has now.
local function lose(id, kept)
  if get(id, 'cancel') then
    close(id, 'cancelled', kept)
    return 'cancelled'
  elseif redis.call('HINCRBY', key(id), 'lost', 1) >= LOST_RUNS then
    redis.call('HSET', key(id), 'error', LOST_RUNS .. ' workers in a row died while running it')
    close(id, 'failed', kept)
    return 'failed'
  end
  announce(id)
  return 'queued'
end

local function create(id, kind, queue, task, input, due)
  local created = time[1] * 1000000 + time[2]
  -- Two jobs never have the same moment: it is the cursor of the lists.
  created = math.max(created, (redis.call('GET', prefix .. 'newest') or 0) + 1)
  created = string.format('%.0f', created)
  redis.call('SET', prefix .. 'newest', created)
  redis.call('DEL', withdrawn(id))
  redis.call('SADD', prefix .. 'kinds', kind)
  redis.call('SADD', prefix .. 'queues', queue)
  redis.call('HSET', key(id), 'kind', kind, 'queue', queue, 'task', task, 'input', input,
    'created', created, 'since', math.max(now, tonumber(due)))
  if tonumber(due) > now then
    schedule(id, due)
  else
    announce(id)
  end
end

local steps = {}

function steps.create(id, kind, queue, task, input, due, enqueued_by)
  local known, known_by = unpack(redis.call('HMGET', key(id), 'input', 'enqueued_by'))
  if not known then
    create(id, kind, queue, task, input, due)
    if enqueued_by ~= '' then
      redis.call('HSET', key(id), 'enqueued_by', enqueued_by)
    end
    return {'new'}
  end
  if known ~= input or (known_by or '') ~= enqueued_by then
    return {'other'}
  end
  redis.call('HSET', key(id), 'shared', 1)
  return {'same', unpack(info(id))}
end

function steps.take(id, owner, lease_timeout, interval, kept, kind, queue, task, input)
  local state = get(id, 'state')
  if not state then
    if redis.call('EXISTS', withdrawn(id)) == 1 then
      return {'withdrawn'}
    elseif input == '' then
      return {'unknown'}
    end
    create(id, kind, queue, task, input, 0) -- whoever sent it did not write a record
    state = 'queued'
  end
  if state == 'running' and get(id, 'owner') == owner then
    return taken(id) -- the first answer was lost on its way
  end
  if state == 'running' then
    if now - redis.call('ZSCORE', running, id) < tonumber(lease_timeout) then
      return {'running'}
    end
    state = lose(id, kept)
    if state == 'failed' then
      return {'poison'}
    end
  end
  if state ~= 'queued' then
    return {state}
  end
  if (redis.call('ZSCORE', scheduled, id) or 0) - now > EARLY then
    return {'early'} -- it waits for its time
  end
  interval = tonumber(interval)
  if interval > 0 and not get(id, 'granted') then
    local rate = prefix .. 'rate:' .. get(id, 'queue')
    local start = math.max(now, tonumber(redis.call('GET', rate) or 0))
    redis.call('SET', rate, start + interval, 'PX', math.ceil(start - now + interval) + 1000)
    if start > now then
      redis.call('HSET', key(id), 'granted', 1)
      schedule(id, start)
      return {'later', string.format('%.0f', math.ceil(start))}
    end
  end
  leave_queue(id)
  redis.call('HDEL', key(id), 'granted')
  redis.call('HSET', key(id), 'owner', owner)
  redis.call('ZADD', running, now, id)
  set_state(id, 'running')
  return taken(id)
end

function steps.renew(id, owner, progress)
  if get(id, 'owner') ~= owner then
    return 'lost'
  end
  redis.call('ZADD', running, now, id)
  if progress ~= '' and get(id, 'progress') ~= progress then
    redis.call('HSET', key(id), 'progress', progress, 'lost', 0)
  end
  return get(id, 'cancel') and 'cancel' or 'held'
end

function steps.save(id, owner, number, step, error)
  if get(id, 'owner') ~= owner then
    return 0
  end
  redis.call('HSET', steps_of(id), number, step)
  redis.call('HSET', key(id), 'error', error, 'lost', 0)
  return 1
end

function steps.finish(id, owner, state, kept, progress, result, error, due, attempts, input)
  if get(id, 'owner') ~= owner then
    return 0
  end
  redis.call('HSET', key(id), 'progress', progress, 'result', result, 'error', error, 'lost', 0,
    'attempts', attempts)
  if input ~= '' then
    redis.call('HSET', key(id), 'input', input)
  end
  if state ~= 'queued' then
    close(id, state, kept)
  elseif get(id, 'cancel') then
    close(id, 'cancelled', kept)
  else
    schedule(id, due)
  end
  return 1
end

-- A run that has not begun, or was not let end, is given back: it does not count.
function steps.give_back(id, owner, kept, progress, due)
  if get(id, 'owner') ~= owner then
    return 0
  end
  redis.call('HSET', key(id), 'progress', progress)
  if get(id, 'cancel') then
    close(id, 'cancelled', kept)
  elseif tonumber(due) > now then
    schedule(id, due)
  else
    announce(id)
  end
  return 1
end

function steps.cancel(id, kept)
  local state = get(id, 'state')
  if state == 'queued' then
    close(id, 'cancelled', kept)
  elseif state == 'running' then
    redis.call('HSET', key(id), 'cancel', 1)
  end
  return {state or '', unpack(info(id))}
end

function steps.revive(id, ...)
  local state = get(id, 'state')
  if state == 'failed' or state == 'cancelled' then
    redis.call('HDEL', key(id), 'cancel', 'error', 'lost', 'attempts')
    redis.call('HSET', key(id), 'since', now)
    redis.call('ZREM', expiring, id)
    if select('#', ...) > 0 then
      redis.call('HSET', steps_of(id), ...)
    end
    announce(id)
  end
  return {state or '', message(id), unpack(info(id))}
end

-- Take back what `create` or `revive` queued, if nobody else relies on it yet.
function steps.withdraw(id, state, kept)
  if get(id, 'state') ~= 'queued' or get(id, 'shared') then
    return 0
  elseif state == '' then
    forget(id)
    redis.call('SET', withdrawn(id), 1, 'PX', WITHDRAWN)
  else
    close(id, state, kept)
  end
  return 1
end

-- Jobs whose time has come: each gets a message.
function steps.due(_, limit)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, limit)) do
    announce(id)
    table.insert(found, message(id))
  end
  return found
end

-- Jobs whose lease has expired, and the queues in which a message may be missing.
function steps.lost(_, lease_timeout, kept, limit)
  local found = {}
  local since = redis.call('GET', prefix .. 'swept_since') or now
  redis.call('SET', prefix .. 'swept_since', since, 'PX', lease_timeout)
  -- After an outage of Redis no lease is fresh: wait until the workers have renewed theirs.
  if now - since >= tonumber(lease_timeout) then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', running, '-inf', now - lease_timeout, 'LIMIT', 0,
        limit)) do
      if lose(id, kept) == 'queued' then
        table.insert(found, message(id))
      end
    end
  end
  local queues = {}
  for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
    if redis.call('ZCOUNT', queue_of(queue), '-inf', now - lease_timeout) > 0 then
      table.insert(queues, queue)
    end
  end
  return {found, queues}
end

-- Jobs of a queue whose message is lost. Messages are delivered in their order: all jobs but the
-- newest `waiting` (the number of messages in the queue) have been delivered to someone.
function steps.unannounced(_, queue, waiting, lease_timeout, limit)
  local found = {}
  local delivered = redis.call('ZCARD', queue_of(queue)) - waiting
  if delivered > 0 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue_of(queue), '-inf', now - lease_timeout,
        'LIMIT', 0, math.min(delivered, limit))) do
      redis.call('ZADD', queue_of(queue), now, id)
      table.insert(found, message(id))
    end
  end
  return found
end

function steps.forget_expired(_, limit)
  local ids = redis.call('ZRANGEBYSCORE', expiring, '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    forget(id)
  end
  return #ids
end

function steps.get(id)
  return info(id)
end

function steps.get_input(id)
  return get(id, 'input')
end

function steps.get_steps(id)
  return {get(id, 'input'), redis.call('HGETALL', steps_of(id))}
end

function steps.list(_, state, kind, limit, before)
  local kinds = kind ~= '' and {kind} or redis.call('SMEMBERS', prefix .. 'kinds')
  local states = state ~= '' and {state}
    or {'queued', 'running', 'succeeded', 'failed', 'cancelled'}
  local found = {}
  for _, each in ipairs(kinds) do
    for _, in_state in ipairs(states) do
      local part = redis.call('ZREVRANGEBYSCORE', index(each, in_state), before, '-inf',
        'WITHSCORES', 'LIMIT', 0, limit)
      for n = 1, #part, 2 do
        table.insert(found, {part[n], tonumber(part[n + 1])})
      end
    end
  end
  table.sort(found, function(a, b) return a[2] > b[2] end)
  local page = {}
  for n = 1, math.min(#found, tonumber(limit)) do
    page[n] = {found[n][1], string.format('%.0f', found[n][2]), unpack(info(found[n][1]))}
  end
  return page
end

return steps[ARGV[1]](unpack(ARGV, 2))
