// Package metrics shows the state of every node and counts what the watchdog
// does, for Prometheus. What redis_exporter has already is not repeated.
package metrics

// The names, as tests, alerts and docs/metrics.md use them.
const (
	BuildInfo        = "redis_watchdog_build_info"
	ConfigReloaded   = "redis_watchdog_config_last_reload_successful"
	ConfigReloadedAt = "redis_watchdog_config_last_reload_success_timestamp_seconds"

	Phase              = "redis_watchdog_phase"
	DecisionRow        = "redis_watchdog_decision_row"
	Guarded            = "redis_watchdog_guarded"
	Faults             = "redis_watchdog_fault"
	Enrolled           = "redis_watchdog_enrolled"
	Veto               = "redis_watchdog_veto"
	VetoSeen           = "redis_watchdog_veto_seen"
	Promotable         = "redis_watchdog_promotable_replicas"
	FencedByHand       = "redis_watchdog_fenced_by_hand"
	Maintenance        = "redis_watchdog_maintenance_remaining_seconds"
	GrantOurs          = "redis_watchdog_grant_ours"
	GrantRemaining     = "redis_watchdog_grant_remaining_seconds"
	FenceDeadline      = "redis_watchdog_fence_deadline_seconds"
	EarliestPromotion  = "redis_watchdog_earliest_promotion_seconds"
	CoordinatorAge     = "redis_watchdog_coordinator_age_seconds"
	SentinelsKnown     = "redis_watchdog_sentinels_known"
	SentinelsAnswering = "redis_watchdog_sentinels_answering"
	SentinelsAgreeing  = "redis_watchdog_sentinels_agreeing"
	Quorum             = "redis_watchdog_sentinel_quorum"
	DownAfter          = "redis_watchdog_down_after_seconds"
	Generation         = "redis_watchdog_agreement_generation"
	Epoch              = "redis_watchdog_agreement_epoch"
	MasterInfo         = "redis_watchdog_master_info"

	OldestRenewal = "redis_watchdog_oldest_renewal_seconds"
	WorkWaiting   = "redis_watchdog_work_waiting"
	WorkDropped   = "redis_watchdog_work_dropped_total"
	WorkLeftOut   = "redis_watchdog_work_left_out_total"
	BeatLateness  = "redis_watchdog_beat_lateness_seconds"

	Checks       = "redis_watchdog_check"
	Drifted      = "redis_watchdog_drifted_parameters"
	UntilLimit   = "redis_watchdog_memory_limit_seconds"
	ReportAge    = "redis_watchdog_node_report_age_seconds"
	PreflightAge = "redis_watchdog_preflight_age_seconds"

	KeyspaceAge   = "redis_watchdog_keyspace_audit_age_seconds"
	KeyspaceKeys  = "redis_watchdog_keyspace_keys"
	KeyspaceBytes = "redis_watchdog_keyspace_bytes"
	KeyspaceStall = "redis_watchdog_keyspace_stall_seconds"
	FleetAudits   = "redis_watchdog_fleet_audits_total"
	FleetAuditing = "redis_watchdog_fleet_auditing"
	FleetWaiting  = "redis_watchdog_fleet_waiting"
	StallBorne    = "redis_watchdog_stall_borne_seconds"

	Steps            = "redis_watchdog_steps_total"
	Transitions      = "redis_watchdog_transitions_total"
	Fences           = "redis_watchdog_fences_total"
	Holds            = "redis_watchdog_holds_total"
	Switches         = "redis_watchdog_switches_total"
	Renewals         = "redis_watchdog_renewals_total"
	BadAnswers       = "redis_watchdog_bad_answers_total"
	ArmedFences      = "redis_watchdog_armed_fences_total"
	Hooks            = "redis_watchdog_hooks_total"
	StallFences      = "redis_watchdog_stall_fences_total"
	StallSeconds     = "redis_watchdog_redis_stall_duration_seconds"
	HistoryDropped   = "redis_watchdog_history_dropped_total"
	DecisionSeconds  = "redis_watchdog_decision_duration_seconds"
	FenceSeconds     = "redis_watchdog_fence_duration_seconds"
	AgreementSeconds = "redis_watchdog_agreement_duration_seconds"
)

// The labels every metric of a node has.
const (
	labelMaster = "master_name" // the group, as redis_exporter calls it
	labelNode   = "node"        // the node's name in the configuration
)

// phases are all there are; each has a series, one of them is 1.
func phases() []string {
	return []string{"serve", "hold", "lock", "refuse", "follow", "down", "unknown"}
}
