package preflight

func keyspaceStallCheck() Check {
	return Check{ID: "keyspace_stall", Area: areaKeyspace, Severity: Warns,
		Title: "No key's removal holds Redis up for longer than the group bears",
		Story: Story{
			Why: "The newest audit that was kept (keyspace --keep), with the lazyfree settings each node has now: DEL, RENAME over it, expiry where the key has a TTL, eviction where there is a limit. " +
				"Times are ranges; it fails where the most is as long as the group bears, which is down-after-milliseconds less 0.7 s. A key that is one allocation (a string, a listpack, few list nodes) is freed at once, whatever is set.",
			Otherwise: "Somebody deletes the key, or its time to live passes, and a healthy master is fenced and failed over; the failover may bring the key back.",
			Fix:       "CONFIG SET lazyfree-lazy-… yes on every node, then CONFIG REWRITE; or smaller keys. Until then remove it with UNLINK, or bit by bit.",
			Silence:   "It warns and never vetoes: the key is at every node, so a promotion makes it no worse.",
		}}
}

func keyspaceResyncCheck() Check {
	return Check{ID: "keyspace_resync", Area: areaKeyspace, Severity: Warns,
		Title: "A full sync does not hold a replica up for long",
		Story: Story{
			Why: "A replica that needs a full sync empties itself first, and answers nobody meanwhile unless replica-lazy-flush is on (the default of Valkey 8 and later). " +
				"How long that takes is reckoned from the newest audit that was kept.",
			Otherwise: "Sentinel holds the replica for down, clients that read there wait; where it was the last candidate there is none.",
			Fix:       "CONFIG SET replica-lazy-flush yes, then CONFIG REWRITE.",
		}}
}

func keyspaceAgeCheck() Check {
	return Check{ID: "keyspace_age", Area: areaKeyspace, Severity: Warns,
		Title: "The key space was audited within a week",
		Story: Story{
			Why:       "The newest audit that was kept in etcd, by keyspace --keep GROUP.",
			Otherwise: "Nobody knows which keys would hold Redis up, and the other checks of this area cannot say.",
			Fix:       "redis-watchdog keyspace --from REPLICA --keep GROUP, from cron say.",
			Silence:   "It warns and never vetoes.",
		}}
}
