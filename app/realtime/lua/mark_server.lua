-- Note which server holds the partition. Another one than before may have lost the last writes, as after a restart or a
-- failover: its memory begins now.
-- KEYS: the clock of the partition. ARGV: '', '', the run id of the server.
if server ~= ARGV[3] then
  born, server = now, ARGV[3]
  store_clock()
end
