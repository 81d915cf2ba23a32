package agent

import (
	"reflect"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func calm() Status {
	return Status{
		Group: "m1", Node: "default", Address: "10.0.0.1:6379", Phase: "serve", Row: 9, Reason: "granted", Guarded: true, Armed: true,
		LagSeconds: -1, GrantOurs: true, GrantRemaining: 3.4, Deadline: 2.1, EarliestPromotion: 4.4, CoordinatorAge: 0.2,
		SentinelsKnown: 3, SentinelsAnswering: 3, SentinelsAgreeing: 3, PromotableReplicas: 2, Quorum: 2, DownAfter: 5,
		Faults:    []Fault{{ID: "http_listen", Severity: SeverityWarning, Text: "for 3 s", Remedy: "ss", Since: time.Unix(7, 0)}},
		Sentinels: []SentinelStatus{{Address: "10.0.0.1:26379", Answering: true, Master: "10.0.0.1:6379", AgeSeconds: 0.3}},
	}
}

// TestAgesAreNoNews changes every field that passes by itself.
func TestAgesAreNoNews(t *testing.T) {
	later := calm()
	later.LagSeconds, later.GrantRemaining, later.Deadline, later.EarliestPromotion, later.CoordinatorAge, later.Maintenance = 3, 1, 0.4, 2, 1, 9
	later.Sentinels[0].AgeSeconds = 2
	later.Redis.ArmedFor, later.Coordinator.RoundAt = 5, watchdog.Instant(time.Second)
	if got := NewsOf(calm().Lasting(), later.Lasting()); got != Nothing {
		t.Errorf("ages alone are news: %d", got)
	}
	if s := calm(); s.Lasting().Sentinels[0].AgeSeconds != -1 || s.Sentinels[0].AgeSeconds != 0.3 {
		t.Error("Lasting changed the status that it was made from")
	}
}

// TestEveryOtherFieldIsNews changes each field in turn: one that is forgotten
// would never be published.
func TestEveryOtherFieldIsNews(t *testing.T) {
	passes := map[string]bool{"LagSeconds": true, "GrantRemaining": true, "Deadline": true, "EarliestPromotion": true, "CoordinatorAge": true,
		"Maintenance": true, "Redis": true, "Coordinator": true, "Want": true}
	kind := reflect.TypeFor[Status]()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		now := calm()
		switch f := reflect.ValueOf(&now).Elem().Field(i); {
		case passes[name]:
			continue
		case name == "Since":
			f.Set(reflect.ValueOf(time.Unix(9, 0)))
		case name == "Faults":
			now.Faults[0].ID = "stop"
		case name == "Sentinels":
			now.Sentinels[0].Down = true
		case name == "VetoReasons":
			now.VetoReasons = []string{"memory_limit_running"}
		case f.Kind() == reflect.String:
			f.SetString("another")
		case f.Kind() == reflect.Bool:
			f.SetBool(!f.Bool())
		case f.CanInt():
			f.SetInt(f.Int() + 1)
		case f.CanUint():
			f.SetUint(f.Uint() + 1)
		case f.CanFloat():
			f.SetFloat(f.Float() + 1)
		default:
			t.Fatalf("%s: how is it changed?", name)
		}
		want := Matter
		switch name {
		case "Sentinels", "SentinelsAnswering", "SentinelsAgreeing", "PromotableReplicas":
			want = Witness
		}
		if got := NewsOf(calm().Lasting(), now.Lasting()); got != want {
			t.Errorf("%s changed: news %d, want %d", name, got, want)
		}
	}
	for _, change := range []func(*Status){
		func(s *Status) { s.Faults[0].Text = "for 4 s" },
		func(s *Status) { s.Faults[0].Since = time.Unix(8, 0) },
		func(s *Status) { s.Sentinels[0].Error = "read tcp 127.0.0.1:4711" },
	} {
		now := calm()
		change(&now)
		if got := NewsOf(calm().Lasting(), now.Lasting()); got != Wording {
			t.Errorf("%+v: news %d, want %d", now, got, Wording)
		}
	}
}

func TestToldIsToldOnceAndTheLastAlways(t *testing.T) {
	at := time.Unix(1000, 0)
	var told Told
	due := func(s Status, after time.Duration) bool { at = at.Add(after); return told.Due(s.Lasting(), at) }
	if !due(calm(), 0) {
		t.Fatal("the first is not told")
	}
	for range 600 {
		if due(calm(), time.Second) {
			t.Fatal("what was told is told again")
		}
	}
	words := calm()
	words.Faults[0].Text = "for 4 s"
	if !due(words, time.Second) || due(calm(), wordingApart-1) || !due(calm(), 1) {
		t.Error("another wording is not told once a minute")
	}
	silent := calm()
	silent.SentinelsAnswering = 2
	if due(silent, time.Second) || !due(silent, witnessesApart) {
		t.Error("what the Sentinels say is not told every 5 s")
	}
	// A state that changes every second, for a minute.
	at = at.Add(time.Hour)
	count, last := 0, Status{}
	for i := range 60 {
		s := calm()
		if i%2 == 0 {
			s.Phase = "hold"
		}
		if due(s, time.Second) {
			count, last = count+1, s
		}
	}
	if count < mattersAtOnce || count > mattersAtOnce+60/5 {
		t.Errorf("60 changes in a minute were told %d times, want a handful and then one every 5 s", count)
	}
	settled := calm()
	settled.Phase = "refuse"
	for range 6 {
		if due(settled, time.Second) {
			last = settled
		}
	}
	if last.Phase != "refuse" {
		t.Errorf("the last state was not told: %s", last.Phase)
	}
}
