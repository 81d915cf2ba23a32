package preflight

func coordinatorHealthyCheck() Check {
	return Check{ID: "coordinator_healthy", Area: areaWatchdog, Severity: Blocks,
		Title: "A majority of etcd answers",
		Story: Story{
			Why:       "Every configured member is asked.",
			Otherwise: "The new master gets no grant and stays locked: writes wait for etcd.",
			Fix:       "etcdctl endpoint health --cluster.",
		}}
}

func coordinatorMembersCheck() Check {
	return Check{ID: "coordinator_members", Area: areaWatchdog, Severity: Warns,
		Title: "Every member of etcd answers",
		Story: Story{
			Why:       "Every configured member is asked.",
			Otherwise: "One more failure, and no grant can be given.",
			Fix:       "Start or replace the member.",
		}}
}

func coordinatorWritableCheck() Check {
	return Check{ID: "coordinator_writable", Area: areaWatchdog, Severity: Blocks,
		Title: "etcd takes writes",
		Story: Story{
			Why:       "A transaction that would write and does not is sent: etcd judges it by its alarms, its quota and the rights of our user. A calm group writes nothing, so nothing else would tell.",
			Otherwise: "The grant cannot be moved, and the new master stays locked: writes wait for etcd.",
			Fix:       "redis-watchdog status GROUP names why (etcd_nospace, etcd_read_only, etcd_corrupt), with the commands; see docs/etcd.md.",
		}}
}

func coordinatorStaleCheck() Check {
	return Check{ID: "coordinator_stale_reads", Area: areaWatchdog, Severity: Warns,
		Title: "etcd has not the stale-read fault",
		Story: Story{
			Why:       "Before 3.4.42, 3.5.28 and 3.6.9 a member that was paused may answer a linearizable read with old data (etcd issue 20418).",
			Otherwise: "Whoever reads the agreement there may be sent to the old master. The watchdog itself decides by compare-and-swap.",
			Fix:       "Upgrade etcd.",
		}}
}

func coordinatorAgreementCheck() Check {
	return Check{ID: "coordinator_agreement", Area: areaWatchdog, Severity: Blocks,
		Title: "etcd agrees on this master",
		Story: Story{
			Why:       "The agreement in etcd against the master the Sentinels' majority names.",
			Otherwise: "After the failover nobody knows which is newer: a conflict.",
			Fix:       "redis-watchdog status GROUP; redis-watchdog adopt where it is a conflict.",
		}}
}

func grantHeldCheck() Check {
	return Check{ID: "grant_held", Area: areaWatchdog, Severity: Blocks,
		Title: "The master holds the grant",
		Story: Story{
			Why:       "The grant is what lets a master accept writes, and what is to move.",
			Otherwise: "The group is not writable now, so something is wrong that a failover does not repair.",
			Fix:       "redis-watchdog status GROUP says what it waits for.",
		}}
}

func maintenanceCheck() Check {
	return Check{ID: "maintenance", Area: areaWatchdog, Severity: Blocks,
		Title: "No maintenance is on",
		Story: Story{
			Why:       "During maintenance the watchdogs change nothing.",
			Otherwise: "A promoted Redis stays locked, and the old master is not fenced.",
			Fix:       "redis-watchdog maintenance off GROUP.",
		}}
}

func watchdogCoversCheck() Check {
	return Check{ID: "watchdog_covers", Area: areaWatchdog, Severity: Blocks, Elsewhere: Warns,
		Title: "The node has a live watchdog",
		Story: Story{
			Why:       "Its presence in etcd.",
			Otherwise: "A master without one is not fenced; a replica without one is not unlocked when it is promoted.",
			Fix:       "systemctl start redis-watchdog on that host.",
		}}
}

func watchdogReportCheck() Check {
	return Check{ID: "watchdog_report", Area: areaWatchdog, Severity: Blocks, Elsewhere: Warns,
		Title: "Its report is as young as the question",
		Story: Story{
			Why:       "redis.conf, the host and the log can be read only there: the watchdog answers a request with a fresh report.",
			Otherwise: "A limit that was changed a minute ago is judged as it was before.",
			Fix:       "systemctl status redis-watchdog on that host; its clock and etcd.",
		}}
}

func watchdogFenceCheck() Check {
	return Check{ID: "watchdog_fence", Area: areaWatchdog, Severity: Blocks, Elsewhere: Warns,
		Title: "The fence can act",
		Story: Story{
			Why:       "Guarded, and no right or command missing in Redis.",
			Otherwise: "A master that must be fenced goes on serving: two masters.",
			Fix:       "ACL SETUSER with the missing rights; redis-watchdog status names the rest.",
		}}
}

func watchdogFaultsCheck() Check {
	return Check{ID: "watchdog_faults", Area: areaWatchdog, Severity: Warns, Elsewhere: Warns,
		Title: "The watchdog has no faults",
		Story: Story{
			Why:       "The faults of severity error in its report.",
			Otherwise: "A promise is not kept.",
			Fix:       "redis-watchdog status GROUP on that host.",
		}}
}

func watchdogVetoCheck() Check {
	return Check{ID: "watchdog_veto", Area: areaWatchdog, Severity: Blocks,
		Title: "The candidate has no veto",
		Story: Story{
			Why:       "The watchdog beside a replica keeps replica-priority 0 while a blocking check of its own fails.",
			Otherwise: "Sentinel finds no good replica.",
			Fix:       "Remove the reasons it names; the veto is lifted by itself.",
		}}
}

func watchdogVersionsCheck() Check {
	return Check{ID: "watchdog_versions", Area: areaWatchdog, Severity: Informs,
		Title: "The watchdogs are of one version",
		Story: Story{
			Why:       "The version in each report.",
			Otherwise: "Nothing breaks: readers tolerate newer writers. It is not meant to stay so.",
			Fix:       "Upgrade the others.",
		}}
}
