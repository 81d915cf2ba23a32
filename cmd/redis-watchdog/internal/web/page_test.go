package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// busy is a group in trouble: everything the page can show is there.
func busy() fake {
	local := with(master(), func(s *agent.Status) {
		s.Deadline, s.EarliestPromotion, s.DownAfter, s.CoordinatorAge = 2.2, 2.8, 3, 0.1
		s.SentinelsKnown, s.SentinelsAgreeing, s.Since = 3, 2, time.Now().Add(-time.Hour)
		s.Faults = []agent.Fault{{ID: "timing", Severity: agent.SeverityWarning, Text: "too short", Remedy: "SENTINEL SET m1 down-after-milliseconds 5000"}}
		s.Sentinels = []agent.SentinelStatus{
			{Address: "10.0.0.1:26379", Answering: true, Master: "10.0.0.1:6379", Epoch: 7},
			{Address: "10.0.0.2:26379", Answering: true, Master: "10.0.0.2:6379", Epoch: 8, Down: true},
			{Address: "10.0.0.3:26379", AgeSeconds: -1, Error: "connection refused"},
		}
	})
	return fake{nodes: []agent.Status{local}, records: []Record{{
		ReadAt: time.Now(),
		Group: grant.Group{Name: "m1",
			Record:      grant.GroupRecord{Nodes: []watchdog.Address{"10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"}},
			Agreement:   grant.MasterRecord{Generation: 1, Epoch: 7, Address: "10.0.0.1:6379", Known: 3, Votes: 3, DecidedBy: "10.0.0.1:6379", DecidedAt: time.Now().Add(-time.Hour), DecidedCause: "failover"},
			Maintenance: grant.Maintenance{Order: grant.Order{By: "eve", At: time.Now(), Reason: "kernel"}, Until: time.Now().Add(time.Hour)},
			Nodes:       map[string]string{"10.0.0.2:6379": `{"role":"replica","answer":"up","phase":"follow","wanted":"follow","veto":true,"veto_reasons":["memory_maxmemory"],"veto_seen":true,"guarded":true,"link_up":true,"lag_seconds":1}`},
		},
		History: []agent.Step{
			stepAt(0, "10.0.0.1:6379", "serve", "hold", "isolated", "10.0.0.1:6379", "1/6"),
			stepAt(2*time.Second, "10.0.0.1:6379", "hold", "refuse", "isolated", "10.0.0.1:6379", "1/6"),
			stepAt(3*time.Second, "10.0.0.2:6379", "lock", "serve", "granted", "10.0.0.2:6379", "1/7"),
		},
	}}}
}

func stepAt(after time.Duration, node, from, to, reason, master, term string) agent.Step {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return agent.Step{Time: begin.Add(after), Group: "m1", Node: "default", Self: node, From: from, To: to, Reason: reason, Master: master, Term: term, Votes: 3, Known: 3}
}

func read(t *testing.T, source Source, target string) string {
	t.Helper()
	b, err := io.ReadAll(get(t, source, "GET", target).Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPageShowsEverythingThereIs(t *testing.T) {
	text := textOf(t, read(t, busy(), "/"))
	for _, want := range []string{
		"FAULT", "1 watchdog does not report", "1 fault", "m1", "2 of 3 Sentinels agree", "by the word of 3 of 3 Sentinels",
		"Maintenance until", "eve: kernel", "10.0.0.3:6379: its watchdog does not report", "timing", "too short", "SENTINEL SET m1",
		"granted (row 9)", "yes: memory_maxmemory", "agrees", "names another; holds the Redis here down", "does not answer: connection refused",
		"The fence comes 0.6 s before another could be promoted", "Failover: 10.0.0.1:6379 → 10.0.0.2:6379", "isolated (row 0)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
}

func TestPageNamesWhoIsGone(t *testing.T) {
	away := busy()
	g := &away.records[0].Group
	g.Gone = g.Record.Nodes
	text := textOf(t, read(t, away, "/"))
	for _, want := range []string{"10.0.0.3:6379: gone:", "redis-watchdog forget m1 10.0.0.3:6379", "1 fault"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "does not report") {
		t.Errorf("one that is gone is missed:\n%s", text)
	}
}

func TestVetoSaysWhetherItStandsAndWhy(t *testing.T) {
	for want, n := range map[string]agent.Status{
		"no":        {},
		"yes: a, b": {Veto: true, VetoSeen: true, VetoReasons: []string{"a", "b"}},
		"wanted, not seen by every Sentinel yet: a": {Veto: true, VetoReasons: []string{"a"}},
		"no, left to Sentinel all the same: a":      {VetoReasons: []string{"a"}},
	} {
		if got := veto(n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// textOf is what a reader sees, its white space folded.
func textOf(t *testing.T, page string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && (n.Parent.Data != "title") {
			out.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// evil is what somebody could call a Redis, a group or a reason.
const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)><a href="javascript:alert(3)">{{.}}` + "\u202e\x1b[2J\x00"

// called is busy with everything called so.
func called(evil string) fake {
	dirty := busy()
	n := &dirty.nodes[0]
	n.Group, n.Node, n.Address, n.RunID, n.Phase, n.Wanted, n.Reason, n.Would, n.Role, n.Answer = evil, evil, evil, evil, evil, evil, evil, evil, evil, evil
	n.Master, n.AgreedMaster, n.GrantHolder, n.Following = evil, evil, evil, evil
	n.Faults[0] = agent.Fault{ID: evil, Severity: agent.Severity(evil), Text: evil, Remedy: evil}
	for i := range n.Sentinels {
		n.Sentinels[i].Address, n.Sentinels[i].Master, n.Sentinels[i].RunID, n.Sentinels[i].Error = evil, evil, evil, evil
	}
	r := &dirty.records[0]
	r.Problem, r.Group.Name, r.Group.Problems = evil, evil, []string{evil}
	r.Group.Maintenance.By, r.Group.Maintenance.Reason = evil, evil
	r.Group.Agreement.Address, r.Group.Agreement.DecidedBy, r.Group.Agreement.DecidedCause = watchdog.Address(evil), evil, evil
	r.Group.Grant.Holder, r.Group.Record.Nodes = watchdog.Address(evil), []watchdog.Address{watchdog.Address(evil)}
	for i := range r.History {
		s := &r.History[i]
		s.Self, s.Node, s.From, s.To, s.Reason, s.Master, s.Term, s.Would = evil, evil, evil, evil, evil, evil, evil, evil
	}
	return dirty
}

func TestPageShowsNamesAsText(t *testing.T) {
	clean, dirty := busy(), called(evil)
	page := read(t, dirty, "/")
	if strings.ContainsAny(page, "\u202e\x1b\x00") {
		t.Error("a control character, or one that turns the writing, is left in the page")
	}
	if seen := strings.Count(textOf(t, page), "<script>alert(1)</script>"); seen < 20 {
		t.Errorf("the name is seen as text %d times", seen)
	}
	kinds := func(page string) map[string]bool {
		doc, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			all[n.Data] = true
			for _, a := range n.Attr {
				all[n.Data+" "+a.Key] = true
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.TrimSpace(strings.ToLower(a.Val)), "javascript:") {
					t.Errorf("attribute %s=%q of %s", a.Key, a.Val, n.Data)
				}
				if (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "/") {
					t.Errorf("%s refers to %q", n.Data, a.Val)
				}
			}
			if n.Data == "script" && n.FirstChild != nil {
				t.Errorf("a script is written into the page: %s", n.FirstChild.Data)
			}
		}
		return all
	}
	known := kinds(read(t, clean, "/"))
	for kind := range kinds(page) {
		if !known[kind] {
			t.Errorf("the name has become %q", kind)
		}
	}
}

func TestPagePolicyAllowsNothingWrittenIn(t *testing.T) {
	policy := get(t, busy(), "GET", "/").Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("got %q", policy)
	}
}

func TestPageIsSmall(t *testing.T) {
	large := busy()
	r := &large.records[0]
	r.History = nil
	for i := range 120 {
		r.History = append(r.History, stepAt(time.Duration(i)*20*time.Second+time.Duration(i/8)*time.Minute,
			"10.0.0."+strconv.Itoa(i%3+1)+":6379", "serve", "refuse", "sentinels_do_not_certify", "10.0.0.1:6379", "1/6"))
	}
	total := len(read(t, large, "/"))
	for _, name := range []string{"page.css", "page.js", "fault.svg"} {
		total += len(read(t, large, "/page/"+name))
	}
	t.Logf("%d bytes in all", total)
	if total > 60<<10 {
		t.Errorf("the page and its parts have %d bytes, more than 60 KB", total)
	}
}

func TestPageIsAskedForOnlyWhenItChanged(t *testing.T) {
	s := &Server{source: busy(), page: newPage(), options: Options{Gatherer: prometheus.NewRegistry()}}
	ask := func(method, target, tag string) *http.Response {
		request := httptest.NewRequest(method, target, nil)
		if tag != "" {
			request.Header.Set("If-None-Match", tag)
		}
		recorder := httptest.NewRecorder()
		s.Handler().ServeHTTP(recorder, request)
		return recorder.Result()
	}
	for target, cache := range map[string]string{
		"/": "no-cache", "/page/page.js": "no-cache", "/page/page.css?v=" + s.page.tag: "private, max-age=31536000, immutable",
	} {
		whole := ask("GET", target, "")
		body, err := io.ReadAll(whole.Body)
		if err != nil {
			t.Fatal(err)
		}
		tag := whole.Header.Get("ETag")
		if whole.StatusCode != 200 || tag == "" || whole.Header.Get("Cache-Control") != cache {
			t.Errorf("%s: got %d, ETag %q, Cache-Control %q", target, whole.StatusCode, tag, whole.Header.Get("Cache-Control"))
		}
		head := ask("HEAD", target, "")
		if got, err := io.ReadAll(head.Body); err != nil || len(got) > 0 || head.StatusCode != 200 ||
			head.Header.Get("ETag") != tag || head.ContentLength != int64(len(body)) {
			t.Errorf("HEAD %s: got %d, ETag %q, length %d, %d bytes, %v", target, head.StatusCode, head.Header.Get("ETag"), head.ContentLength, len(got), err)
		}
		if again := ask("GET", target, tag); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s, asked again: got %d, want 304", target, again.StatusCode)
		}
	}
	for _, target := range []string{"/page/", "/page/page.html", "/page/..%2fpage.go", "/page/none.js"} {
		if got := ask("GET", target, "").StatusCode; got != 404 {
			t.Errorf("%s: got %d, want 404", target, got)
		}
	}
}

// counter counts how often it is asked.
type counter struct {
	fake
	asked *atomic.Int32
}

func (c counter) Records(ctx context.Context) []Record {
	c.asked.Add(1)
	return c.fake.Records(ctx)
}

func TestManyBrowsersCostNoMoreThanOne(t *testing.T) {
	c := counter{busy(), &atomic.Int32{}}
	s := &Server{source: c, page: newPage(), options: Options{Gatherer: prometheus.NewRegistry()}}
	handler := s.Handler()
	var all sync.WaitGroup
	begun := time.Now()
	for range 100 {
		all.Go(func() {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/", nil))
			if recorder.Code != 200 {
				t.Errorf("got %d", recorder.Code)
			}
		})
	}
	all.Wait()
	if got, most := int(c.asked.Load()), 1+int(time.Since(begun)/renderEvery); got > most {
		t.Errorf("100 browsers made it render %d times in %v", got, time.Since(begun))
	}
}

func TestStuckLoopIsSaid(t *testing.T) {
	stuck := busy()
	stuck.stuck = true
	if text := textOf(t, read(t, stuck, "/")); !strings.Contains(text, "The decision loop does not turn.") {
		t.Errorf("got %s", text)
	}
}

func TestGroupsAndHistoryAsJSON(t *testing.T) {
	var groups []groupAnswer
	if err := json.Unmarshal([]byte(read(t, busy(), "/groups")), &groups); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 1 || groups[0].Group.Group != "m1" || len(groups[0].Nodes) != 1 || len(groups[0].Silent) != 1 || groups[0].ReadAge < 0 {
		t.Errorf("got %+v", groups)
	}
	var history historyAnswer
	if err := json.Unmarshal([]byte(read(t, busy(), "/history/m1?limit=2")), &history); err != nil {
		t.Fatal(err)
	}
	if len(history.Steps) != 2 || history.Steps[1].To != "serve" {
		t.Errorf("got %+v", history)
	}
	unread := busy()
	unread.records = []Record{{Group: grant.Group{Name: "m1"}, Problem: "no route"}}
	for target, code := range map[string]int{"/history/m1": 503, "/history/x": 404, "/history/m1?limit=0": 400, "/history/m1?limit=x": 400} {
		if got := get(t, unread, "GET", target).StatusCode; got != code {
			t.Errorf("%s: got %d, want %d", target, got, code)
		}
	}
	if text := textOf(t, read(t, unread, "/")); !strings.Contains(text, "etcd could not be read yet") || !strings.Contains(text, "no route") {
		t.Errorf("got %s", text)
	}
}
