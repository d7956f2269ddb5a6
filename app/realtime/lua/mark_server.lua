-- Note which server holds the partition. Another one than before may have lost the last writes, as after a restart or a
-- failover: its memory begins now. Its clock goes on from the latest time that is known. That may be a step forward,
-- which does no harm here: whatever this memory does not know counts as used now.
-- KEYS: the clock of the partition. ARGV: '', the least steady time or '', the run id of the server.
if server ~= ARGV[3] then
  now = math.max(now, wall + (tonumber(offset) or 0), tonumber(ARGV[2]) or 0)
  born, server = now, ARGV[3]
  store_clock()
end
