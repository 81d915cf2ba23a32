package preflight

func memoryLimitRunningCheck() Check {
	return Check{ID: "memory_limit_running", Area: areaMemory, Severity: Blocks, Veto: true,
		Title: "The candidate's running maxmemory holds the data",
		Story: Story{
			Why: "A replica ignores its own maxmemory (replica-ignore-maxmemory yes, the default), so it holds data that is larger than its limit and looks healthy. " +
				"The limit counts from the moment it is master. Where it is lower than the master's, it must be at least the larger of used_memory - mem_not_counted_for_evict of master and candidate, and the headroom. " +
				"Where it is no lower (within a hundredth: hosts of one size differ by that), the data fits as well as it does at the master, in a cache or a store that is full too; " +
				"then it only fails when the candidate holds more than its limit and more than the master does, by more than two servers with the same data differ.",
			Otherwise: "Within a third of a second after the promotion the keys above the limit are evicted, and the eviction is replicated to everybody, the old master too. " +
				"With noeviction every write is refused instead.",
			Fix:     "CONFIG SET maxmemory on the candidate to at least the master's, then CONFIG REWRITE. preflight --fix offers both.",
			Silence: "Set preflight.headroom lower when the data is known not to grow, or the master's limit to what the candidates have. There is no way to silence the check.",
		}}
}

func memoryLimitFileCheck() Check {
	return Check{ID: "memory_limit_file", Area: areaMemory, Severity: Blocks, Veto: true,
		Title: "The maxmemory in the candidate's redis.conf holds the data",
		Story: Story{
			Why: "A CONFIG SET that was never written down is gone with the next restart: the limit of the file is what the candidate has then. " +
				"It is held against the data as the running one is. Where a restart would give the master no larger limit either, it blocks a planned failover and does not veto.",
			Otherwise: "The replica is restarted (a reboot, an upgrade), still holds everything, and evicts most of it when it is promoted next month.",
			Fix:       "CONFIG REWRITE writes the running value to the file. preflight --fix offers it.",
			Silence:   "None.",
		}}
}

func memoryPolicyCheck() Check {
	return Check{ID: "memory_policy", Area: areaMemory, Severity: Blocks, Veto: true,
		Title: "Master and candidate evict the same kind of keys",
		Story: Story{
			Why:       "maxmemory-policy decides what happens at the limit: that any key goes (allkeys-…), that only those with an expiry go (volatile-…), or that writes are refused (noeviction). In which order keys go (lru, lfu, ttl, random) is left to parity_settings.",
			Otherwise: "A store under noeviction becomes a cache that drops keys, or a cache under allkeys-lru refuses writes when it is full.",
			Fix:       "CONFIG SET maxmemory-policy on the candidate to the master's, then CONFIG REWRITE.",
		}}
}

func memoryLimitLowerCheck() Check {
	return Check{ID: "memory_limit_lower", Area: areaMemory, Severity: Warns,
		Title: "The candidate's maxmemory is no less than the master's",
		Story: Story{
			Why:       "The data fits today, and there was a reason for the master's limit.",
			Otherwise: "The new master is full earlier than the old one was.",
			Fix:       "CONFIG SET maxmemory on the candidate to the master's, then CONFIG REWRITE. preflight --fix offers it where the host has the memory.",
		}}
}

func memoryHostCheck() Check {
	return Check{ID: "memory_host", Area: areaMemory, Severity: Blocks, Veto: true,
		Title: "The candidate's host has the memory for the data",
		Story: Story{
			Why:       "A maxmemory that is large enough, or 0, is of no use where the host, or the cgroup Redis runs in, has less: less than the data and the headroom, or than maxmemory where that is lower. Where the master's host has no more, the promotion makes it no worse, and the check passes.",
			Otherwise: "The kernel kills the new master, or it swaps and times out, and the next failover follows.",
			Fix:       "More memory for the host or the cgroup, or another replica.",
		}}
}

func memoryHostForkCheck() Check {
	return Check{ID: "memory_host_fork", Area: areaMemory, Severity: Warns,
		Title: "The candidate's host has memory for copy-on-write",
		Story: Story{
			Why:       "Saving, rewriting the AOF and a full sync fork Redis; every page written meanwhile is copied. After a failover the replicas may need a full sync.",
			Otherwise: "The fork fails (and with it the saving, and then writes by stop-writes-on-bgsave-error), or the kernel kills Redis while it runs.",
			Fix:       "Free memory on that host, or lower copy_on_write where little is written.",
			Silence:   "preflight.copy_on_write, a share of the data; 0.25 by default.",
		}}
}

func memoryLimitHostCheck() Check {
	return Check{ID: "memory_limit_host", Area: areaMemory, Severity: Warns,
		Title: "maxmemory is below what the host has",
		Story: Story{
			Why:       "maxmemory is the limit at which Redis acts in an orderly way. Where it is 0 or above the host's memory, the kernel acts first.",
			Otherwise: "Instead of evicting or refusing writes, Redis is killed.",
			Fix:       "Set maxmemory, on every node alike, to at most three quarters of the host's memory.",
		}}
}

func memoryTrendCheck() Check {
	return Check{ID: "memory_trend", Area: areaMemory, Severity: Warns,
		Title: "The candidate's limit is not reached soon",
		Story: Story{
			Why:       "The watchdog beside the master samples used_memory; at that growth the candidate's limit (or its host's memory) is some time away.",
			Otherwise: "The failover succeeds and the group is full at night.",
			Fix:       "Raise maxmemory on every node, or find out what grows.",
			Silence:   "preflight.trend; 24h by default. It is unknown until the watchdog has sampled for some minutes.",
		}}
}
