package preflight

func persistenceWritableCheck() Check {
	return Check{ID: "persistence_writable", Area: areaPersistence, Severity: Blocks, Veto: true,
		Title: "Saving does not keep the node from accepting writes",
		Story: Story{
			Why:       "After a failed save (with stop-writes-on-bgsave-error yes) or AOF write a master refuses every write; a replica only says so in INFO. Where the master refuses writes for it as well, it does not veto.",
			Otherwise: "The new master answers every write with MISCONF.",
			Fix:       "Free disk, or repair permissions; BGSAVE.",
		}}
}

func persistenceRestartCheck() Check {
	return Check{ID: "persistence_restart", Area: areaPersistence, Severity: Warns,
		Title: "A crash does not bring it back empty",
		Story: Story{
			Why:       "Without AOF and snapshots a master that its supervisor starts again within down-after comes back empty and Sentinel does not notice.",
			Otherwise: "Its replicas empty themselves after it. The watchdog keeps a fenced one from opening empty, but cannot be everywhere at once.",
			Fix:       "appendonly yes or save, or Restart=no in the unit.",
			Silence:   "Where the data may be lost (a cache), live with the warning.",
		}}
}

func persistenceStatusCheck() Check {
	return Check{ID: "persistence_status", Area: areaPersistence, Severity: Warns, Elsewhere: Warns,
		Title: "Saving works",
		Story: Story{
			Why:       "rdb_last_bgsave_status, aof_last_bgrewrite_status and aof_last_write_status.",
			Otherwise: "What is on disk is older than everybody thinks.",
			Fix:       "The log of Redis says what failed.",
		}}
}

func persistenceForkCheck() Check {
	return Check{ID: "persistence_fork", Area: areaPersistence, Severity: Warns,
		Title: "No fork is running",
		Story: Story{
			Why:       "rdb_bgsave_in_progress and aof_rewrite_in_progress.",
			Otherwise: "The failover's full sync adds to copy-on-write and disk load.",
			Fix:       "Wait until it is done.",
		}}
}

func persistenceForkTimeCheck() Check {
	return Check{ID: "persistence_fork_time", Area: areaPersistence, Severity: Warns,
		Title: "A fork does not hold Redis up",
		Story: Story{
			Why:       "latest_fork_usec: Redis answers nobody while it forks.",
			Otherwise: "Each save or full sync is an outage; one longer than down-after is a failover.",
			Fix:       "Transparent huge pages off, smaller instances, no virtualisation without EPT.",
			Silence:   "preflight.fork; 500ms by default.",
		}}
}

func persistenceFsyncCheck() Check {
	return Check{ID: "persistence_fsync", Area: areaPersistence, Severity: Warns,
		Title: "The AOF does not wait for the disk",
		Story: Story{
			Why:       "aof_delayed_fsync counts how often a write had to wait for an fsync that was still running, since Redis started.",
			Otherwise: "Clients wait for the disk, for seconds.",
			Fix:       "A faster disk, or one of its own; no-appendfsync-on-rewrite yes.",
		}}
}

func persistenceSizeCheck() Check {
	return Check{ID: "persistence_size", Area: areaPersistence, Severity: Warns,
		Title: "The instance is of a wise size",
		Story: Story{
			Why:       "used_memory of the master.",
			Otherwise: "A full sync, a fork and a restart take minutes, and the failover's repair with them.",
			Fix:       "Several smaller groups.",
			Silence:   "preflight.large_instance; 16 GiB by default.",
		}}
}
