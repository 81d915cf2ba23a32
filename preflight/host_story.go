package preflight

func hostTHPCheck() Check {
	return Check{ID: "host_thp", Area: areaHost, Severity: Warns, Elsewhere: Warns,
		Title: "Transparent huge pages are off",
		Story: Story{
			Why:       "transparent_hugepage/enabled, unless Redis switched them off for itself (disable-thp yes, 6.2 and later).",
			Otherwise: "While a fork runs, every write copies 2 MiB: latency, and memory up to twice the data.",
			Fix:       "echo never > /sys/kernel/mm/transparent_hugepage/enabled, at boot too.",
		}}
}

func hostOvercommitCheck() Check {
	return Check{ID: "host_overcommit", Area: areaHost, Severity: Warns, Elsewhere: Warns,
		Title: "vm.overcommit_memory is 1",
		Story: Story{
			Why:       "A fork of Redis reserves as much memory as it has, and uses little of it.",
			Otherwise: "The fork is refused: saving and full syncs fail, and writes may be refused then.",
			Fix:       "sysctl vm.overcommit_memory=1, in /etc/sysctl.d too.",
		}}
}

func hostSomaxconnCheck() Check {
	return Check{ID: "host_somaxconn", Area: areaHost, Severity: Warns,
		Title: "somaxconn does not cut tcp-backlog",
		Story: Story{
			Why:       "The kernel takes the smaller of the two.",
			Otherwise: "When all clients reconnect after a failover, some of their connections are dropped and tried again seconds later.",
			Fix:       "sysctl net.core.somaxconn; then restart Redis.",
		}}
}

func hostSwapCheck() Check {
	return Check{ID: "host_swap", Area: areaHost, Severity: Warns, Elsewhere: Warns,
		Title: "Redis is not swapped out",
		Story: Story{
			Why:       "VmSwap of the Redis process; 16 MiB of idle pages are let pass.",
			Otherwise: "It answers at the speed of the disk, and Sentinel may hold it for down.",
			Fix:       "Free memory; vm.swappiness=1; restart the replica.",
		}}
}

func hostFilesCheck() Check {
	return Check{ID: "host_files", Area: areaHost, Severity: Warns,
		Title: "Redis may open enough files",
		Story: Story{
			Why:       "RLIMIT_NOFILE of the process against maxclients and what Redis needs itself.",
			Otherwise: "Clients are refused although maxclients is not reached.",
			Fix:       "LimitNOFILE= in the unit, and a restart.",
		}}
}

func hostClockCheck() Check {
	return Check{ID: "host_clock", Area: areaHost, Severity: Warns, Elsewhere: Warns,
		Title: "The clock is kept, and is the master's",
		Story: Story{
			Why:       "Expiry is by wall clock, and the new master's counts from then on. Also whether the kernel's clock is disciplined at all.",
			Otherwise: "Keys expire too early or too late after the failover.",
			Fix:       "NTP: timedatectl, chronyc tracking.",
			Silence:   "preflight.clock; 2s by default. The clocks are read one after the other, so that small differences mean nothing.",
		}}
}

func hostSlowCheck() Check {
	return Check{ID: "host_slow", Area: areaHost, Severity: Warns,
		Title: "No slow commands of late",
		Story: Story{
			Why:       "SLOWLOG of master and candidate within the last minutes.",
			Otherwise: "Redis answers nobody while one runs, Sentinel neither; clients bring the same commands to the new master.",
			Fix:       "SLOWLOG GET; smaller commands (SCAN, UNLINK).",
			Silence:   "preflight.slow_command (100ms) and slow_window (10m).",
		}}
}

func hostEvictionsCheck() Check {
	return Check{ID: "host_evictions", Area: areaHost, Severity: Warns,
		Title: "The master evicts nothing",
		Story: Story{
			Why:       "evicted_keys as its watchdog sampled it, else since Redis started; and whether it is above its limit now.",
			Otherwise: "The group is full: a candidate with less room loses more.",
			Fix:       "Raise maxmemory on every node, unless it is a cache.",
			Silence:   "Normal for a cache.",
		}}
}

func hostLogCheck() Check {
	return Check{ID: "host_log", Area: areaHost, Severity: Informs, Elsewhere: Informs,
		Title: "No warnings in the log",
		Story: Story{
			Why:       "The last warnings of Redis' own log, where the watchdog may read it.",
			Otherwise: "The reason stood there, and nobody looked.",
			Fix:       "Read them.",
		}}
}
