package preflight

func candidateCheck() Check {
	return Check{ID: "candidate", Area: areaReplication, Severity: Blocks,
		Title: "There is a replica to promote",
		Story: Story{
			Why:       "The Sentinels list the replicas; one that was asked for must be among them.",
			Otherwise: "A failover would fail, or promote another than was meant.",
			Fix:       "redis-watchdog status GROUP; a replica that is missing must be attached to the master.",
		}}
}

func replicationAnswersCheck() Check {
	return Check{ID: "replication_answers", Area: areaReplication, Severity: Blocks, Elsewhere: Warns,
		Title: "Redis answers",
		Story: Story{
			Why:       "Everything else rests on INFO and CONFIG GET.",
			Otherwise: "Nothing can be said about this node.",
			Fix:       "redis-cli PING; its log; the rights of the watchdog's user.",
		}}
}

func replicationMasterCheck() Check {
	return Check{ID: "replication_master", Area: areaReplication, Severity: Blocks,
		Title: "The master is a master",
		Story: Story{
			Why:       "INFO of the named master says role:master, and it is not handing over by itself (FAILOVER).",
			Otherwise: "A failover is already under way, or the truth is not true.",
			Fix:       "redis-watchdog status GROUP.",
		}}
}

func replicationLinkCheck() Check {
	return Check{ID: "replication_link", Area: areaReplication, Severity: Blocks,
		Title: "The candidate's link to the master is up",
		Story: Story{
			Why:       "master_link_status, and that it shares the master's replication id: that it follows this master and no other.",
			Otherwise: "What the master accepted since the link broke is lost.",
			Fix:       "The log of the replica says why; REPLICAOF re-points it.",
		}}
}

func replicationDataCheck() Check {
	return Check{ID: "replication_data", Area: areaReplication, Severity: Blocks, Elsewhere: Warns, Veto: true,
		Title: "The candidate holds its master's data",
		Story: Story{
			Why: "It is not loading, no full sync is running, and it was in step since it started. What a Redis reads from its disk at a start looks the same to Sentinel, offset and all, and may be months old: " +
				"it passes where it holds all that the last master told etcd of its data, or where every node of the group is back and none has more.",
			Otherwise: "A replica in the middle of a full sync has a part of the data or none, one that was started from an old snapshot lacks what was acknowledged since, and Sentinel promotes either when it is the only one left.",
			Fix:       "Wait until the sync is done. Started alone: start the others too; redis-watchdog status names who has more, and the command that accepts the loss.",
		}}
}

func replicationLineageCheck() Check {
	return Check{ID: "replication_lineage", Area: areaReplication, Severity: Blocks, Elsewhere: Blocks, Veto: true,
		Title: "The replica is this group's, and no other's",
		Story: Story{
			Why: "Sentinel never forgets a replica: one that was pointed at this master for a moment, or was taken over by another group, stays in its list. " +
				"The watchdogs tell in etcd which Redis their Sentinels list, by address and run id; and what a replica is in step with shows in its replication id.",
			Otherwise: "The failover of one group promotes the other's replica: its clients find the other's keys, and its own replicas copy them.",
			Fix:       "The Sentinels of the group that it does not belong to have to forget it: SENTINEL RESET GROUP at each, one after the other, 30 s apart, while no backup runs.",
		}}
}

func replicationLagCheck() Check {
	return Check{ID: "replication_lag", Area: areaReplication, Severity: Blocks,
		Title: "The candidate is not far behind",
		Story: Story{
			Why:       "Bytes between the offsets, and seconds since the master heard of it.",
			Otherwise: "What it is behind is lost, unless writers are held and the offsets are equal first, as the guarded failover does.",
			Fix:       "Wait; a slow disk, network or command on the replica is the usual cause.",
			Silence:   "preflight.lag_bytes (16 MiB) and lag (5s). The offsets are not read at one instant: under heavy writes some of the bytes are only that.",
		}}
}

func replicationKeysCheck() Check {
	return Check{ID: "replication_keys", Area: areaReplication, Severity: Blocks,
		Title: "Key counts agree, database by database",
		Story: Story{
			Why:       "keys and expires of INFO keyspace. A replica keeps expired keys until its master says so, and a second of commands may lie between the two readings.",
			Otherwise: "A replica that was written to, or whose sync went wrong, replaces the data.",
			Fix:       "A full sync (restart of the replica), and replica-read-only yes.",
			Silence:   "preflight.keys, a share of the master's; 0.01 by default.",
		}}
}

func replicationSyncCheck() Check {
	return Check{ID: "replication_sync", Area: areaReplication, Severity: Warns,
		Title: "No full sync is running",
		Story: Story{
			Why:       "The master lists each replica with its state.",
			Otherwise: "A failover breaks the sync off; it begins again from the new master, with one replica less meanwhile.",
			Fix:       "Wait until it is done.",
		}}
}

func replicationBacklogCheck() Check {
	return Check{ID: "replication_backlog", Area: areaReplication, Severity: Warns,
		Title: "The candidate's backlog holds a while of writes",
		Story: Story{
			Why:       "repl-backlog-size against the write rate (sampled by the watchdog, else what clients send at the moment).",
			Otherwise: "A replica that was away for a moment needs a full sync from the new master, which costs it a fork and all of them the network.",
			Fix:       "CONFIG SET repl-backlog-size on every node, then CONFIG REWRITE.",
			Silence:   "preflight.backlog; 1m by default.",
		}}
}

func replicationReadOnlyCheck() Check {
	return Check{ID: "replication_read_only", Area: areaReplication, Severity: Warns, Elsewhere: Informs,
		Title: "The replica is read-only",
		Story: Story{
			Why:       "With replica-read-only no, a replica accepts writes that no other node has.",
			Otherwise: "Keys that the master never had become the truth, or overwrite it.",
			Fix:       "CONFIG SET replica-read-only yes, then CONFIG REWRITE; a full sync where somebody wrote.",
		}}
}

func replicationProbeCheck() Check {
	return Check{ID: "replication_probe", Area: areaReplication, Severity: Blocks,
		Title: "A key written to the master arrives",
		Story: Story{
			Why:       "With --probe-key a key is written to the master and waited for at every replica.",
			Otherwise: "Offsets and links look well on a connection that carries nothing.",
			Fix:       "The replica's log; tcpdump.",
			Silence:   "It is only made with --probe-key.",
		}}
}
