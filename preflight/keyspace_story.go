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

func keyspaceMigrateCheck() Check {
	return Check{ID: "keyspace_migrate", Area: areaKeyspace, Severity: Warns,
		Title: "A slot can be moved to another node",
		Story: Story{
			Why: "Judged where it is asked for: preflight GROUP --migrate codis:SLOT, preflight --migrate cluster:SLOT --cluster HOST:PORT. MIGRATE and SLOTSMGRTTAGSLOT hold up the node that the keys leave until the other one has read them in: what they take is reckoned from the newest audit that was kept, " +
				"and held against cluster-node-timeout, or in a group of Sentinel's against down-after-milliseconds less 0.7 s, and against the time that the answer is waited for (60 s of redis-cli --cluster, 30 s of codis). " +
				"A key's slot is another by each rule: Redis Cluster takes CRC16 modulo 16384 and the tag between { and }, unless that is empty; codis CRC32 modulo 1024, an empty tag is one, and all keys of a tag are moved by one command. " +
				"In Redis Cluster every master is asked for slots that are open (CLUSTER NODES) and for keys of slots that are not its own (CLUSTER COUNTKEYSINSLOT): what a move has left that broke off.",
			Otherwise: "The node is held for down in the middle of the move, and its replica is promoted: keys are at both nodes or at neither's client, proxies wait, the slot stays open. An open slot answers TRYAGAIN, and keys that were left behind are found by no client.",
			Fix:       "Split the key, or take it away bit by bit, first. A move that broke off is ended by the lines that are printed: they move what is left, never give up a key, and close the slot.",
			Silence:   "It is no check of a failover, and blocks none.",
		}}
}
