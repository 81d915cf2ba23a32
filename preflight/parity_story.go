package preflight

func parityPersistenceCheck() Check {
	return Check{ID: "parity_persistence", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "The candidate keeps on disk what the master keeps",
		Story: Story{
			Why:       "appendonly and save decide what survives a crash.",
			Otherwise: "Before the failover a crash cost a second of writes; after it, everything since the last snapshot, or everything.",
			Fix:       "CONFIG SET appendonly yes (or save) on the candidate as on the master, then CONFIG REWRITE.",
		}}
}

func paritySavingCheck() Check {
	return Check{ID: "parity_saving", Area: areaParity, Severity: Warns,
		Title: "The candidate saves as the master does",
		Story: Story{
			Why:       "save, appendfsync, aof-use-rdb-preamble and stop-writes-on-bgsave-error decide how often, how safely and at what cost data is saved.",
			Otherwise: "Durability or latency change with the master, and nobody knows why.",
			Fix:       "Set them as on the master, then CONFIG REWRITE.",
			Silence:   "Some let only replicas save, on purpose: then this stays a warning.",
		}}
}

func parityDatabasesCheck() Check {
	return Check{ID: "parity_databases", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "The candidate has at least the master's databases",
		Story: Story{
			Why:       "Clients SELECT a database by number.",
			Otherwise: "SELECT is refused, and the application fails, for those in a database the new master does not have.",
			Fix:       "Raise databases in the candidate's redis.conf and restart it.",
		}}
}

func parityModulesCheck() Check {
	return Check{ID: "parity_modules", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "The candidate has every module of the master",
		Story: Story{
			Why:       "Commands and data types of a module exist only where it is loaded. What a build lists as a module and has built in (vectorset of Redis 8, lua of Valkey 9) is not looked for in another build: what a replica cannot do of it replication_refused sees.",
			Otherwise: "Its commands are unknown to the new master. The data of its types cannot be loaded from disk.",
			Fix:       "loadmodule in the candidate's redis.conf, and a restart.",
		}}
}

func parityModuleVersionsCheck() Check {
	return Check{ID: "parity_module_versions", Area: areaParity, Severity: Warns,
		Title: "Modules are of the same versions",
		Story: Story{
			Why:       "A module's data and replication may change between versions.",
			Otherwise: "Commands behave otherwise after the failover, or older nodes cannot load what a newer one sends.",
			Fix:       "Install the same version everywhere.",
		}}
}

func parityNotificationsCheck() Check {
	return Check{ID: "parity_notifications", Area: areaParity, Severity: Warns,
		Title: "Keyspace notifications are alike",
		Story: Story{
			Why:       "notify-keyspace-events is off by default, and a CONFIG SET on the master does not reach its replicas.",
			Otherwise: "Applications that wait for expiry events wait for ever after the failover.",
			Fix:       "CONFIG SET notify-keyspace-events as on the master, then CONFIG REWRITE.",
		}}
}

func parityMinReplicasCheck() Check {
	return Check{ID: "parity_min_replicas", Area: areaParity, Severity: Blocks,
		Title: "min-replicas-to-write leaves the candidate writable",
		Story: Story{
			Why:       "The candidate needs as many replicas as its min-replicas-to-write says, out of the nodes that answer now. The watchdog's own lock does not count: what the operator had set does.",
			Otherwise: "The new master refuses every write (NOREPLICAS).",
			Fix:       "Bring the missing replicas back, or lower the value on the candidate.",
		}}
}

func parityOutputBufferCheck() Check {
	return Check{ID: "parity_output_buffer", Area: areaParity, Severity: Warns,
		Title: "client-output-buffer-limit is alike",
		Story: Story{
			Why:       "It decides when slow clients, subscribers and replicas are dropped.",
			Otherwise: "Subscribers or replicas that could follow the old master are dropped by the new one, and a replica begins a full sync again and again.",
			Fix:       "CONFIG SET client-output-buffer-limit as on the master, then CONFIG REWRITE.",
		}}
}

func parityMaxclientsCheck() Check {
	return Check{ID: "parity_maxclients", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "The candidate accepts as many clients as the master has",
		Story: Story{
			Why:       "maxclients of the candidate, where it is lower than the master's, against connected_clients of the master, with the headroom. Redis lowers maxclients by itself where the file limit is too small.",
			Otherwise: "After the failover all clients come at once, and some are refused (ERR max number of clients reached).",
			Fix:       "CONFIG SET maxclients on the candidate, and LimitNOFILE= in its unit; then CONFIG REWRITE.",
		}}
}

func parityVersionCheck() Check {
	return Check{ID: "parity_version", Area: areaParity, Severity: Warns,
		Title: "Every node can replicate from the candidate",
		Story: Story{
			Why: "A Redis loads a full sync of its own version and older. Of the other house it loads what both had before they parted: Redis 8 loads Valkey 8, and Valkey 9, which writes an older RDB for it but for hashes with fields that expire; no Valkey loads Redis 7.4 or later. Files are another thing: dump.rdb of Valkey 9 is read by Valkey 9 alone. " +
				"A partial sync works between all, so a failover right after the links were up empties nobody; the next full sync does.",
			Otherwise: "The other nodes empty themselves for a full sync they cannot load, and one copy of the data is left.",
			Fix:       "Upgrade the others right after the failover, as one does in a rolling upgrade, or choose another candidate.",
		}}
}

func paritySettingsCheck() Check {
	return Check{ID: "parity_settings", Area: areaParity, Severity: Warns,
		Title: "No further setting differs",
		Story: Story{
			Why:       "Every other parameter of CONFIG GET *, but those that are a node's own affair (ports, files, names, addresses).",
			Otherwise: "Timeouts, encodings, limits or lazy freeing change with the master.",
			Fix:       "Set them as on the master, then CONFIG REWRITE.",
		}}
}

func parityACLCheck() Check {
	return Check{ID: "parity_acl", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "The master's ACL users are the candidate's, with the same rights and passwords",
		Story: Story{
			Why:       "ACL SETUSER is not replicated. Users are compared by name, rights (in whatever order they were given) and passwords. Passwords are compared where they are read, by the preflight at every Redis and by a replica's watchdog at its master; no digest of one is in etcd or in a report. The watchdogs' own user is left out (what it lacks they say themselves), and so is one that is off. Between 6.0, 7.0, 8.0, Valkey 8.1 and 9.1 rights are carried out by each build's own categories and compared command by command, as far as both have them: 6.0 and 7.0 list other words than were typed. What a category has lost is refused there, and is shown (6.0's @read has ECHO and TIME, later ones' has not; its @dangerous has all of CLIENT, its @connection no SELECT). Of other builds the words are compared.",
			Otherwise: "Clients are refused by the new master (WRONGPASS, NOPERM).",
			Fix:       "ACL SETUSER on the candidate as on the master, then ACL SAVE or CONFIG REWRITE; or one aclfile from configuration management. After an upgrade from 6.0 also &*: that knows no channels, and a user who is given none has none later.",
		}}
}

func parityACLExtraCheck() Check {
	return Check{ID: "parity_acl_extra", Area: areaParity, Severity: Warns,
		Title: "The candidate has no user that the master has not",
		Story: Story{
			Why:       "A user that was deleted on the master only still exists on the candidate.",
			Otherwise: "Somebody whose access was taken away has it again after the failover.",
			Fix:       "ACL DELUSER on the candidate, then ACL SAVE or CONFIG REWRITE.",
		}}
}

func parityCommandsCheck() Check {
	return Check{ID: "parity_commands", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "The candidate has the master's commands, by the names they have there",
		Story: Story{
			Why:       "rename-command stands in redis.conf only; both files are compared by the watchdogs. The new names are secrets of a kind and are not shown. One that is taken away at the master is used by nobody: see parity_commands_extra.",
			Otherwise: "Clients, Sentinel or the watchdog use a command that the new master does not know.",
			Fix:       "The same rename-command lines everywhere, and a restart of the candidate.",
		}}
}

func parityCommandsExtraCheck() Check {
	return Check{ID: "parity_commands_extra", Area: areaParity, Severity: Warns,
		Title: "The candidate has no command that was taken away from the master",
		Story: Story{
			Why:       "rename-command NAME \"\" is there to keep somebody from FLUSHALL, KEYS or CONFIG.",
			Otherwise: "What was forbidden is allowed again after the failover.",
			Fix:       "The same rename-command lines everywhere, and a restart of the candidate.",
		}}
}

func parityReachCheck() Check {
	return Check{ID: "parity_reach", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "Clients of other hosts can reach the candidate",
		Story: Story{
			Why:       "bind, and protected-mode where no password is set. A candidate on loopback is not judged; nor is one that listens as the master does, whose clients come through a proxy or a tunnel of its host.",
			Otherwise: "The new master answers nobody but its own host; Sentinel, on that host, may still see it well.",
			Fix:       "CONFIG SET bind (7.0 and later), or set it in redis.conf and restart; a password, or protected-mode no.",
		}}
}

func parityTLSCheck() Check {
	return Check{ID: "parity_tls", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "The candidate speaks plain text and TLS where the master does",
		Story: Story{
			Why:       "port, tls-port and tls-auth-clients.",
			Otherwise: "Clients connect to a port that is not there, or are asked for a certificate they do not have.",
			Fix:       "Set the ports and tls- parameters as on the master.",
		}}
}

func parityAuthCheck() Check {
	return Check{ID: "parity_auth", Area: areaParity, Severity: Blocks, Veto: true,
		Title: "requirepass is set at both, or at neither",
		Story: Story{
			Why:       "The password itself is compared with the users (parity_acl).",
			Otherwise: "Clients are refused (NOAUTH), or the new master lets anybody in.",
			Fix:       "CONFIG SET requirepass and masterauth as on the master, then CONFIG REWRITE.",
		}}
}
