package preflight

func sentinelAgreementCheck() Check {
	return Check{ID: "sentinel_agreement", Area: areaSentinel, Severity: Blocks,
		Title: "A majority of the known Sentinels names this master at one epoch",
		Story: Story{
			Why:       "SENTINEL GET-MASTER-ADDR-BY-NAME and config-epoch of each. Known is the largest number anybody counts.",
			Otherwise: "The failover is carried out on another view of the group than was judged.",
			Fix:       "redis-watchdog status GROUP shows what each says; one that lags catches up within seconds.",
		}}
}

func sentinelAbleCheck() Check {
	return Check{ID: "sentinel_able", Area: areaSentinel, Severity: Blocks,
		Title: "Enough Sentinels can carry out a failover",
		Story: Story{
			Why:       "SENTINEL CKQUORUM of each; one in TILT says OK and does nothing, so it does not count.",
			Otherwise: "The failover is asked for, accepted, and never happens, or nobody replaces the new master when it dies.",
			Fix:       "Start the missing Sentinels.",
		}}
}

func sentinelCalmCheck() Check {
	return Check{ID: "sentinel_calm", Area: areaSentinel, Severity: Blocks,
		Title: "No failover is running or about to",
		Story: Story{
			Why:       "s_down, o_down, failover_in_progress and failover-state at each Sentinel.",
			Otherwise: "Two failovers eat each other, and the first is aborted after a whole failover-timeout.",
			Fix:       "Wait until it is over.",
			Silence:   "The pause after an attempt that failed (twice failover-timeout) is in no answer of Sentinel's; a failover that is asked for is not subject to it.",
		}}
}

func sentinelCandidateCheck() Check {
	return Check{ID: "sentinel_candidate", Area: areaSentinel, Severity: Blocks,
		Title: "Every Sentinel could choose the candidate",
		Story: Story{
			Why:       "Listed, not down or disconnected, link ok, a PONG within 5 s and INFO within 30 s: what sentinelSelectSlave looks at.",
			Otherwise: "The leader aborts (-failover-abort-no-good-slave) or promotes another.",
			Fix:       "SENTINEL REPLICAS GROUP at the Sentinel that is named; the network between it and the candidate.",
		}}
}

func sentinelPriorityCheck() Check {
	return Check{ID: "sentinel_priority", Area: areaSentinel, Severity: Blocks,
		Title: "The operator lets the candidate be promoted",
		Story: Story{
			Why:       "replica-priority 0 means never. The veto's own 0 does not count.",
			Otherwise: "Sentinel promotes another, or nobody.",
			Fix:       "CONFIG SET replica-priority 100 if it may be promoted after all.",
		}}
}

func sentinelRightsCheck() Check {
	return Check{ID: "sentinel_rights", Area: areaSentinel, Severity: Warns, Elsewhere: Warns,
		Title: "Sentinel may run what it needs",
		Story: Story{
			Why:       "The users the Sentinels are logged in as (CLIENT LIST), against the commands Sentinel sends: it ignores their errors.",
			Otherwise: "The candidate is never promoted (-failover-abort-slave-timeout), or the old master and the others are never re-pointed.",
			Fix:       "ACL SETUSER with the missing commands, on every node.",
		}}
}

func sentinelSilentCheck() Check {
	return Check{ID: "sentinel_silent", Area: areaSentinel, Severity: Warns,
		Title: "Every known Sentinel answers",
		Story: Story{
			Why:       "Sentinels never forget one another: a dead one counts towards the majority for ever.",
			Otherwise: "One more failure, and there is no majority.",
			Fix:       "Start it, or SENTINEL RESET GROUP at the others, one after the other, if it is gone for good.",
		}}
}

func sentinelTiltCheck() Check {
	return Check{ID: "sentinel_tilt", Area: areaSentinel, Severity: Warns,
		Title: "No Sentinel is in TILT",
		Story: Story{
			Why:       "A Sentinel whose clock jumped or whose host paused does nothing for 30 s.",
			Otherwise: "It neither votes nor fails over meanwhile.",
			Fix:       "Wait; find out why the host pauses.",
		}}
}

func sentinelQuorumCheck() Check {
	return Check{ID: "sentinel_quorum", Area: areaSentinel, Severity: Warns,
		Title: "quorum is alike and no less than a majority",
		Story: Story{
			Why:       "quorum of each Sentinel against their number.",
			Otherwise: "With less a minority holds a healthy master for down; with more than there are no failover ever happens.",
			Fix:       "SENTINEL SET GROUP quorum N at each Sentinel.",
		}}
}

func sentinelSpreadCheck() Check {
	return Check{ID: "sentinel_spread", Area: areaSentinel, Severity: Warns,
		Title: "The Sentinels survive the loss of a host",
		Story: Story{
			Why:       "At least three, and no host with so many that the rest is no majority.",
			Otherwise: "The host of the master takes the majority with it, and nobody fails over.",
			Fix:       "Three or five Sentinels, each on a host of its own.",
		}}
}

func sentinelReplicasCheck() Check {
	return Check{ID: "sentinel_replicas", Area: areaSentinel, Severity: Warns,
		Title: "The Sentinels list the same replicas",
		Story: Story{
			Why:       "SENTINEL REPLICAS of each. A replica at port 0 is none: redis-cli --rdb at a master leaves one, as Sentinel takes the backup for a replica.",
			Otherwise: "Whom a failover re-points depends on who leads it; a replica that is gone waits to be reconfigured until failover-timeout.",
			Fix:       "SENTINEL RESET GROUP at each Sentinel, one after the other, while no backup runs. Back up from a replica: that leaves nothing.",
		}}
}

func sentinelTimingCheck() Check {
	return Check{ID: "sentinel_timing", Area: areaSentinel, Severity: Warns,
		Title: "down-after-milliseconds leaves time for the fence, and is alike",
		Story: Story{
			Why:       "The fence must fire before any Sentinel can promote another.",
			Otherwise: "At 2 s and below two masters may accept writes for a moment.",
			Fix:       "SENTINEL SET GROUP down-after-milliseconds 5000 at each Sentinel.",
		}}
}
