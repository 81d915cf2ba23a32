package watchdog

// FenceReasons are the reasons of every decision that refuses, or that finds the
// Redis fenced (row 5): what a fence can be counted under.
func FenceReasons() []string {
	return []string{
		"fenced_by_hand", "named_but_replica", "deposed", "isolated", "coordinator_lost", "nobody_vouches",
		"rejoining", "true_master_not_listed", "nobody_named", "unfencing",
		"no_grant", "redis_silent", "no_majority", "majority_too_young", "failover_running", "higher_epoch_seen",
		"other_master_seen", "held_down", "sentinel_just_back", "sentinels_do_not_certify", "left_to_sentinel", "data_behind", "data_unrelated", "data_unknown", "replicas_not_heard", "replicas_forgotten",
	}
}
