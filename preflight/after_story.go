package preflight

func afterMasterCheck() Check {
	return Check{ID: "after_master", Area: areaAfter, Severity: Blocks,
		Title: "The new master is agreed upon",
		Story: Story{
			Why:       "A majority of the Sentinels, at one epoch, and another than before.",
			Otherwise: "The failover did not happen, or not everywhere.",
			Fix:       "redis-watchdog status GROUP.",
		}}
}

func afterServesCheck() Check {
	return Check{ID: "after_serves", Area: areaAfter, Severity: Blocks,
		Title: "The new master accepts writes",
		Story: Story{
			Why:       "It is a master, holds the grant, and its lock is gone.",
			Otherwise: "Writers wait or get NOREPLICAS.",
			Fix:       "redis-watchdog status GROUP says what it waits for.",
		}}
}

func afterKeysCheck() Check {
	return Check{ID: "after_keys", Area: areaAfter, Severity: Blocks,
		Title: "Every database kept its keys",
		Story: Story{
			Why:       "Key counts of the old master before against the new one's after. Keys without an expiry go only by a command.",
			Otherwise: "A loss is noticed by users.",
			Fix:       "Stop writers, and compare with the old master's last snapshot, unless clients deleted them.",
		}}
}

func afterEvictionsCheck() Check {
	return Check{ID: "after_evictions", Area: areaAfter, Severity: Blocks,
		Title: "The new master evicts nothing",
		Story: Story{
			Why:       "evicted_keys before and after.",
			Otherwise: "Data is being lost at this moment.",
			Fix:       "CONFIG SET maxmemory on the new master at once, to the old one's, or to what its host bears; then find the right limit. Not 0: then the kernel is the limit.",
		}}
}

func afterReplicasCheck() Check {
	return Check{ID: "after_replicas", Area: areaAfter, Severity: Warns,
		Title: "Every other node replicates from the new master",
		Story: Story{
			Why:       "The new master's own list, against the nodes that answered before.",
			Otherwise: "The group runs with less redundancy than before.",
			Fix:       "INFO replication on both; Sentinel re-points within failover-timeout.",
		}}
}

func afterFilesCheck() Check {
	return Check{ID: "after_files", Area: areaAfter, Severity: Blocks,
		Title: "The files of old and new master were rewritten",
		Story: Story{
			Why:       "Sentinel sends CONFIG REWRITE and ignores the answer. The watchdogs look at the files.",
			Otherwise: "After the next restart both come back in their old roles: two masters, as far as redis.conf goes.",
			Fix:       "CONFIG REWRITE by hand says why it fails: permissions, a read-only mount, no file.",
		}}
}
