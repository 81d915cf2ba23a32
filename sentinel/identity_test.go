package sentinel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const named = watchdog.Address("a:6379") // us, by a name that cannot be resolved

// byName is says, of a Sentinel that announces our host by a name.
func (g group) byName(i int, at watchdog.Instant, master watchdog.Address, epoch uint64) Answer {
	a := g.says(i, at, master, epoch)
	rename := func(of *watchdog.Address, as *string) {
		if *as = string(*of); *of == us {
			*of, *as = named, string(named)
		}
	}
	rename(&a.Named, &a.As)
	rename(&a.Master.Address, &a.Master.As)
	for i := range a.Replicas {
		rename(&a.Replicas[i].Address, &a.Replicas[i].As)
	}
	return a
}

// One announces names that cannot be resolved, the others IPs: by the run id
// it is one master, and one vote more.
func TestNameIsIdentifiedByRunID(t *testing.T) {
	g := newGroup(3)
	g.hear(t, 0, g.says(0, t0, us, 1))
	g.hear(t, 1, g.byName(1, t0, us, 1))
	g.hear(t, 2, g.byName(2, t0, us, 1))
	got := g.Tally(g.Self("run"+string(us), ""), t0)
	if got.Self != us || got.Master != us || got.Votes != 3 || got.E <= t0 {
		t.Errorf("got %+v", got)
	}
	// After a RESET no Sentinel shows a run id: the name is who it was.
	a := g.byName(1, t0+sec, us, 1)
	a.Master.RunID = ""
	g.hear(t, 1, a)
	if got := g.Tally(us, t0+sec); got.Votes != 3 || got.Master != us {
		t.Errorf("without a run id: %+v", got)
	}
	// Another Redis answers to that name now: not known whose it is, and so no vote
	// for us.
	for i := 1; i < 3; i++ {
		a := g.byName(i, t0+2*sec, us, 2)
		a.Master.RunID = "a stranger's"
		g.hear(t, i, a)
	}
	if got := g.Tally(us, t0+2*sec); got.Master != "" || got.OtherMaster != "" {
		t.Errorf("a stranger behind the name: %+v", got)
	}
}

// All announce names, none of which can be resolved after a restart: of the
// local Redis it is remembered how it was called, of the others nothing.
func TestNameOfTheLocalRedisIsRemembered(t *testing.T) {
	for name, told := range map[string]bool{"remembered": true, "not": false} {
		g := newGroup(3)
		if told {
			g.Told("run"+string(us), us)
		}
		for i := range 3 {
			g.hear(t, i, g.byName(i, t0, us, 1))
		}
		got := g.Tally(g.Self("run"+string(us), ""), t0)
		if told && (got.Self != us || got.Master != us || got.E <= t0 || !got.Unanimous) {
			t.Errorf("%s: got %+v", name, got)
		}
		if !told && (got.Self != "" || got.Master != "" || got.Unanimous) {
			t.Errorf("%s: a name is told as an address: %+v", name, got)
		}
		names := 0
		for _, f := range g.faults("mymaster", t0) {
			if f.ID == "sentinel_unresolved" {
				names++
				if f.Severity != severityError || !strings.Contains(f.Text, string(named)) {
					t.Errorf("%s: fault %+v", name, f)
				}
			}
		}
		if want := map[bool]int{true: 0, false: 1}[told]; names != want {
			t.Errorf("%s: %d faults, want %d", name, names, want)
		}
	}
}

// A majority names a host that cannot be resolved, at a newer epoch: nobody is
// deposed by it, and nobody certified. What was served ends with E.
func TestAnUnresolvedNameIsNobody(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 1)
	for i := range 3 {
		a := g.says(i, t0+sec, "d:6379", 2)
		g.hear(t, i, a)
	}
	got := g.Tally(us, t0+sec)
	if got.Master != "" || got.Epoch != 0 || got.E > t0+sec {
		t.Errorf("got %+v", got)
	}
	for _, a := range g.Addresses() {
		if !resolved(a) {
			t.Errorf("the group lists %q", a)
		}
	}
}

func TestSpelledAsMostSentinelsDo(t *testing.T) {
	for name, tt := range map[string]struct {
		as   []string
		want string
	}{
		"all by name":       {[]string{"a:6379", "a:6379", "a:6379"}, "a:6379"},
		"most by IP":        {[]string{"a:6379", string(us), string(us)}, string(us)},
		"one each":          {[]string{"a:6379", string(us)}, "a:6379"},
		"nobody names it":   {nil, ""},
		"one by IP, though": {[]string{string(us)}, string(us)},
	} {
		g := newGroup(3)
		for i, as := range tt.as {
			a := g.says(i, t0, us, 1)
			a.As, a.Master.As = as, as
			g.hear(t, i, a)
		}
		if got := g.spelled(us); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A restart without a name server: what was found once is used at once, and
// what Redis follows is known.
func TestResolverRemembersOverARestart(t *testing.T) {
	now := t0
	restarted := func(names map[string]string, lookup map[string]string) *resolver {
		r := newResolver(context.Background(), func() watchdog.Instant { return now })
		r.lookup = func(_ context.Context, name string) ([]netip.Addr, error) {
			if ip, ok := lookup[name]; ok {
				return []netip.Addr{netip.MustParseAddr(ip)}, nil
			}
			return nil, errors.New("no such host")
		}
		r.Recall(names)
		return r
	}
	first := restarted(nil, map[string]string{"a": "10.0.0.1", "B.example.": "2001:db8::2"})
	for _, name := range []string{"a", "B.example.", "10.0.0.3", "nowhere"} {
		first.Address(name, "1")
	}
	found, news := first.Found()
	if len(found) != 2 || found["a"] != "10.0.0.1" || news != 2 || first.News() != news {
		t.Fatalf("found %v, news %d", found, news)
	}
	found["garbage"], found["10.0.0.9"] = "no IP", "10.0.0.1" // a record that somebody has edited
	second := restarted(found, nil)
	for spelled, want := range map[string]watchdog.Address{
		"a:6379": "10.0.0.1:6379", "B.example.:6379": "[2001:db8::2]:6379", "[2001:DB8:0::2]:6379": "[2001:db8::2]:6379",
		"[::ffff:10.0.0.1]:6379": "10.0.0.1:6379", "nowhere:6379": "nowhere:6379", "garbage:6379": "garbage:6379",
		"10.0.0.9:6379": "10.0.0.9:6379", "": "",
	} {
		if got := second.Same(spelled); got != want {
			t.Errorf("%q is %q, want %q", spelled, got, want)
		}
	}
	second.wg.Wait()
	if ip, ok := second.Known("a:26379"); !ok || ip != "10.0.0.1:26379" || second.Answers("a:26379") {
		t.Errorf("a name that is not found now is %q, %v", ip, ok)
	}
	if _, ok := second.Known("nowhere:1"); ok || !second.Answers("10.0.0.7:1") {
		t.Error("a name that never was is known, or an IP is none")
	}
}

// A name server that hangs holds up nobody who only asks whose a name is, and
// until it has answered in this life what was remembered is dialled.
func TestResolverDoesNotWaitForAHangingNameServer(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	r := newResolver(ctx, func() watchdog.Instant { return t0 })
	r.lookup = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r.Recall(map[string]string{"a": "10.0.0.1"})
	if got := r.Same("a:1"); got != "10.0.0.1:1" {
		t.Errorf("a remembered name is %q", got)
	}
	if got := r.Same("new:1"); got != "new:1" || resolved(got) {
		t.Errorf("one that was never met is %q", got)
	}
	if ip, ok := r.Known("a:1"); !ok || ip != "10.0.0.1:1" || r.Answers("a:1") {
		t.Errorf("while it is looked up it is %q, %v", ip, ok)
	}
	end()
	r.wait()
	if got := r.Same("later:1"); got != "later:1" {
		t.Errorf("after the end: %q", got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts["later"].asking {
		t.Error("a lookup begins after the end, and nobody waits for it")
	}
}

// However many names of nobody are listed, those that were found stay known.
func TestResolverKeepsWhatWasFound(t *testing.T) {
	r := newResolver(context.Background(), func() watchdog.Instant { return t0 })
	r.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }
	r.Recall(map[string]string{"a": "10.0.0.1"})
	for i := range 3 * maxNames {
		r.Address(fmt.Sprintf("ghost%d", i), "1")
	}
	if found, _ := r.Found(); found["a"] != "10.0.0.1" || len(r.hosts) > maxNames {
		t.Errorf("found %v of %d", found, len(r.hosts))
	}
}
