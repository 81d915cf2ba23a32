package metrics

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func sample() []agent.Status {
	return []agent.Status{{
		Group: "m1", Node: "a", Phase: "serve", Row: 9, Guarded: true, GrantOurs: true, GrantRemaining: 3.5, Deadline: 2.25,
		EarliestPromotion: -1, CoordinatorAge: 0.125, SentinelsKnown: 3, SentinelsAnswering: 3, SentinelsAgreeing: 2, Quorum: 2, DownAfter: 5,
		Generation: 1, Epoch: 4, Master: "10.0.0.1:6379", Enrolled: true,
		PromotableReplicas: 2,
		Faults:             []agent.Fault{{ID: "timing", Severity: "warning"}, {ID: "timing", Severity: "warning"}},
	}, {Group: "m1", Node: "b", Phase: "strange", Veto: true, VetoSeen: true, Deadline: -1, CoordinatorAge: -1}}
}

func reports() []Report {
	return []Report{{
		Group: "m1", Node: "a", Age: 12.5, AskedAge: -1, Drifted: 2, UntilLimit: 3600,
		Checks:   []Check{{"maxmemory", "blocks", "failed"}, {"maxmemory", "blocks", "failed"}, {"drift", "blocks", "passed"}},
		Keyspace: &Keyspace{Age: 3600, Keys: 1000, Bytes: 65536, Stalls: map[string]float64{"del": 4.5, "expire": 0}}, Borne: 4.25,
	}, {Group: "m1", Node: "b", Age: -1, AskedAge: -1, Drifted: -1, UntilLimit: math.NaN()}}
}

func load() Load {
	return Load{OldestRenewal: 0.75, Records: 3, PassedOver: 7}
}

func TestLoadExposition(t *testing.T) {
	want := `
# HELP redis_watchdog_oldest_renewal_seconds Since the grant of this host whose last renewal is the longest ago was renewed; 0 when there is none to be renewed.
# TYPE redis_watchdog_oldest_renewal_seconds gauge
redis_watchdog_oldest_renewal_seconds 0.75
# HELP redis_watchdog_work_dropped_total Statuses and reports of nodes that were not written to etcd because a newer one took their place first.
# TYPE redis_watchdog_work_dropped_total counter
redis_watchdog_work_dropped_total 7
# HELP redis_watchdog_work_waiting What waits for its turn so that renewals have theirs: records (for people, to etcd) and claims (of grants).
# TYPE redis_watchdog_work_waiting gauge
redis_watchdog_work_waiting{work="claims"} 0
redis_watchdog_work_waiting{work="records"} 3
`
	if err := testutil.CollectAndCompare(NewCollector(sample, reports, load), strings.NewReader(want), OldestRenewal, WorkWaiting, WorkDropped); err != nil {
		t.Error(err)
	}
}

func TestReportExposition(t *testing.T) {
	want := `
# HELP redis_watchdog_check 1, for the outcome of every check of its own that a replica was put to last: failed, unknown or passed; severity blocks with outcome failed is what vetoes it.
# TYPE redis_watchdog_check gauge
redis_watchdog_check{check="drift",master_name="m1",node="a",outcome="passed",severity="blocks"} 1
redis_watchdog_check{check="maxmemory",master_name="m1",node="a",outcome="failed",severity="blocks"} 1
# HELP redis_watchdog_drifted_parameters Parameters that run with another value than redis.conf has; no series while that could not be compared.
# TYPE redis_watchdog_drifted_parameters gauge
redis_watchdog_drifted_parameters{master_name="m1",node="a"} 2
# HELP redis_watchdog_keyspace_audit_age_seconds Since the newest audit of the group's key space that was kept; no series where none was.
# TYPE redis_watchdog_keyspace_audit_age_seconds gauge
redis_watchdog_keyspace_audit_age_seconds{master_name="m1",node="a"} 3600
# HELP redis_watchdog_keyspace_bytes Bytes of memory of these keys and their values, as MEMORY USAGE adds them up.
# TYPE redis_watchdog_keyspace_bytes gauge
redis_watchdog_keyspace_bytes{master_name="m1",node="a"} 65536
# HELP redis_watchdog_keyspace_keys Keys in that audit.
# TYPE redis_watchdog_keyspace_keys gauge
redis_watchdog_keyspace_keys{master_name="m1",node="a"} 1000
# HELP redis_watchdog_keyspace_stall_seconds The longest that the operation on one key of that audit would hold this Redis up, at the most and with its settings; of resync, all keys; 0 where it cannot happen.
# TYPE redis_watchdog_keyspace_stall_seconds gauge
redis_watchdog_keyspace_stall_seconds{master_name="m1",node="a",operation="del"} 4.5
redis_watchdog_keyspace_stall_seconds{master_name="m1",node="a",operation="expire"} 0
# HELP redis_watchdog_memory_limit_seconds Until maxmemory is reached at the growth of the last minutes; +Inf when it does not grow or has no limit, no series while that is not known.
# TYPE redis_watchdog_memory_limit_seconds gauge
redis_watchdog_memory_limit_seconds{master_name="m1",node="a"} 3600
# HELP redis_watchdog_preflight_age_seconds Since a preflight last asked for this node's facts; +Inf when none did since the start.
# TYPE redis_watchdog_preflight_age_seconds gauge
redis_watchdog_preflight_age_seconds{master_name="m1",node="a"} +Inf
redis_watchdog_preflight_age_seconds{master_name="m1",node="b"} +Inf
# HELP redis_watchdog_stall_borne_seconds How long this Redis may stand still as a master and is not fenced; no series while no Sentinel told its down-after-milliseconds.
# TYPE redis_watchdog_stall_borne_seconds gauge
redis_watchdog_stall_borne_seconds{master_name="m1",node="a"} 4.25
# HELP redis_watchdog_node_report_age_seconds Since the facts of this node were last read for its own checks and for a preflight; +Inf when they never were.
# TYPE redis_watchdog_node_report_age_seconds gauge
redis_watchdog_node_report_age_seconds{master_name="m1",node="a"} 12.5
redis_watchdog_node_report_age_seconds{master_name="m1",node="b"} +Inf
`
	if err := testutil.CollectAndCompare(NewCollector(sample, reports, load), strings.NewReader(want), Checks, Drifted, UntilLimit, ReportAge, PreflightAge,
		KeyspaceAge, KeyspaceKeys, KeyspaceBytes, KeyspaceStall, StallBorne); err != nil {
		t.Error(err)
	}
}

func TestCollectorExposition(t *testing.T) {
	collector := NewCollector(sample, reports, load)
	want := `
# HELP redis_watchdog_coordinator_age_seconds Since etcd last answered in full; +Inf when it never did.
# TYPE redis_watchdog_coordinator_age_seconds gauge
redis_watchdog_coordinator_age_seconds{master_name="m1",node="a"} 0.125
redis_watchdog_coordinator_age_seconds{master_name="m1",node="b"} +Inf
# HELP redis_watchdog_earliest_promotion_seconds Until the Sentinels could promote another by themselves; +Inf for never.
# TYPE redis_watchdog_earliest_promotion_seconds gauge
redis_watchdog_earliest_promotion_seconds{master_name="m1",node="a"} +Inf
redis_watchdog_earliest_promotion_seconds{master_name="m1",node="b"} 0
# HELP redis_watchdog_fault 1 for every fault there is now; severity error means that a promise is not kept.
# TYPE redis_watchdog_fault gauge
redis_watchdog_fault{id="timing",master_name="m1",node="a",severity="warning"} 1
# HELP redis_watchdog_fence_deadline_seconds Until the armed fence fires unless it is put off; +Inf when none is armed.
# TYPE redis_watchdog_fence_deadline_seconds gauge
redis_watchdog_fence_deadline_seconds{master_name="m1",node="a"} 2.25
redis_watchdog_fence_deadline_seconds{master_name="m1",node="b"} +Inf
# HELP redis_watchdog_guarded 1 while protection is in force.
# TYPE redis_watchdog_guarded gauge
redis_watchdog_guarded{master_name="m1",node="a"} 1
redis_watchdog_guarded{master_name="m1",node="b"} 0
# HELP redis_watchdog_master_info 1, with the address of the master that agreement and majority name; no series when there is none.
# TYPE redis_watchdog_master_info gauge
redis_watchdog_master_info{master="10.0.0.1:6379",master_name="m1",node="a"} 1
# HELP redis_watchdog_phase 1 for the phase the node is in, 0 for the others.
# TYPE redis_watchdog_phase gauge
redis_watchdog_phase{master_name="m1",node="a",phase="follow"} 0
redis_watchdog_phase{master_name="m1",node="a",phase="hold"} 0
redis_watchdog_phase{master_name="m1",node="a",phase="down"} 0
redis_watchdog_phase{master_name="m1",node="a",phase="lock"} 0
redis_watchdog_phase{master_name="m1",node="a",phase="refuse"} 0
redis_watchdog_phase{master_name="m1",node="a",phase="serve"} 1
redis_watchdog_phase{master_name="m1",node="a",phase="unknown"} 0
redis_watchdog_phase{master_name="m1",node="b",phase="follow"} 0
redis_watchdog_phase{master_name="m1",node="b",phase="hold"} 0
redis_watchdog_phase{master_name="m1",node="b",phase="down"} 0
redis_watchdog_phase{master_name="m1",node="b",phase="lock"} 0
redis_watchdog_phase{master_name="m1",node="b",phase="refuse"} 0
redis_watchdog_phase{master_name="m1",node="b",phase="serve"} 0
redis_watchdog_phase{master_name="m1",node="b",phase="unknown"} 1
# HELP redis_watchdog_promotable_replicas Replicas that a Sentinel could promote (priority not 0); no series while no Sentinel is heard.
# TYPE redis_watchdog_promotable_replicas gauge
redis_watchdog_promotable_replicas{master_name="m1",node="a"} 2
# HELP redis_watchdog_veto_seen 1 while every Sentinel that answers shows that veto.
# TYPE redis_watchdog_veto_seen gauge
redis_watchdog_veto_seen{master_name="m1",node="a"} 0
redis_watchdog_veto_seen{master_name="m1",node="b"} 1
`
	err := testutil.CollectAndCompare(collector, strings.NewReader(want),
		VetoSeen, Promotable, Phase, Guarded, Faults, FenceDeadline, EarliestPromotion, CoordinatorAge, MasterInfo)
	if err != nil {
		t.Error(err)
	}
	problems, err := testutil.CollectAndLint(collector)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// fenceSeries is the exposition of fences_total: every reason from zero, one
// fence for "isolated" and one for none of them.
func fenceSeries() string {
	reasons := append(watchdog.FenceReasons(), FencedOtherwise)
	slices.Sort(reasons)
	text := "# HELP redis_watchdog_fences_total Times this Redis was fenced, by the reason.\n# TYPE redis_watchdog_fences_total counter\n"
	for _, reason := range reasons {
		n := 0
		if reason == "isolated" || reason == FencedOtherwise {
			n = 1
		}
		text += fmt.Sprintf("redis_watchdog_fences_total{master_name=\"m1\",node=\"a\",reason=%q} %d\n", reason, n)
	}
	return text
}

func TestMetricsCountFromZero(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	node := New(registry, NewCollector(sample, reports, load), "1.2.3").Node("m1", "a")
	node.Step(time.Millisecond)
	node.Transition("serve", "hold", "isolated")
	node.Transition("hold", "down", "isolated") // it does not answer, and is what it was
	node.Transition("down", "hold", "isolated")
	node.Transition("hold", "refuse", "isolated")
	node.Transition("refuse", "down", "isolated")
	node.Transition("down", "refuse", "nobody_vouches")
	node.Transition("refuse", "serve", "granted")
	node.Transition("serve", "down", "granted")
	node.Transition("down", "refuse", "granted") // by somebody else's hand
	node.Refused(3 * time.Millisecond)
	node.Agreed(3 * time.Millisecond)
	node.Switched()
	node.Renewed(true)
	node.BadAnswer(SourceRedis)
	node.Totals(Totals{Armed: 2, ArmErrors: 1, BadSentinels: 3, HistoryDropped: 4})
	node.Totals(Totals{Armed: 5, ArmErrors: 1, BadSentinels: 3, HistoryDropped: 4})
	want := `
# HELP redis_watchdog_armed_fences_total Fences armed inside Redis, the putting off of one included, and those that could not be.
# TYPE redis_watchdog_armed_fences_total counter
redis_watchdog_armed_fences_total{master_name="m1",node="a",result="armed"} 5
redis_watchdog_armed_fences_total{master_name="m1",node="a",result="failed"} 1
` + fenceSeries() + `# HELP redis_watchdog_holds_total Times writers were made to wait, by the reason.
# TYPE redis_watchdog_holds_total counter
redis_watchdog_holds_total{master_name="m1",node="a",reason="isolated"} 1
# HELP redis_watchdog_renewals_total Renewals of the grant, good or failed.
# TYPE redis_watchdog_renewals_total counter
redis_watchdog_renewals_total{master_name="m1",node="a",result="failed"} 0
redis_watchdog_renewals_total{master_name="m1",node="a",result="good"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), ArmedFences, Fences, Holds, Renewals); err != nil {
		t.Error(err)
	}
	exposed := map[string]bool{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		exposed[family.GetName()] = true
	}
	for _, name := range constants(t) {
		if !exposed[name] {
			t.Errorf("%s is not exposed", name)
		}
	}
}

func TestDocumentHasEveryMetricAndNoOther(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range constants(t) {
		known[name] = true
		if !strings.Contains(string(doc), "| `"+name+"`") {
			t.Errorf("docs/metrics.md has no line for %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`redis_watchdog_[a-z_]+`).FindAllString(string(doc), -1) {
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count")
		if !known[name] {
			t.Errorf("docs/metrics.md has %s, which there is not", name)
		}
	}
}

// constants are the names in names.go.
func constants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if name, err := strconv.Unquote(literal.Value); err == nil && strings.HasPrefix(name, "redis_watchdog_") {
				names = append(names, name)
			}
		}
		return true
	})
	if len(names) < 20 {
		t.Fatalf("got %d names", len(names))
	}
	return names
}
