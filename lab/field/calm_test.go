package field

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestCalmGroupWritesWhatIsNew: nothing happens for longer than a report of a node, and
// than the lease that presence hangs on. What is written to etcd meanwhile says
// something that did not stand there, whatever the machine does; and the
// watchdogs are all still there at the end.
func TestCalmGroupWritesWhatIsNew(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{})
	s := begin(t, w)
	w.Eventually("the first node reports are there", time.Minute, func() error {
		w.Pause(time.Second)
		for _, d := range w.Watchdogs {
			// One is made at once, and another when the watchdog has seen its Redis.
			if text, err := w.Store(w.Hosts[0]).Report(t.Context(), "mymaster", watchdog.Address(d.Redis.Address)); err != nil || !strings.Contains(string(text), `{"address":"`+d.Redis.Address) {
				return fmt.Errorf("%s: %v", d.Name, err)
			}
		}
		return nil
	})
	const prefix = "/redis-watchdog/v1/"
	client := w.Etcd.Client(nil)
	began, err := client.Get(t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	stands := map[string]string{}
	for _, kv := range began.Kvs {
		stands[string(kv.Key)] = string(kv.Value)
	}
	events := client.Watch(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithRev(began.Header.Revision+1))
	s.done("nothing, for 80 s")
	until := time.After(80 * time.Second)
	written, bytes := 0, 0
	for over := false; !over; {
		select {
		case <-until:
			over = true
		case r := <-events:
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			for _, e := range r.Events {
				key, value := string(e.Kv.Key), string(e.Kv.Value)
				written, bytes = written+1, bytes+len(key)+len(value)
				if e.Type == clientv3.EventTypePut && !news(t, strings.TrimPrefix(key, prefix), stands[key], value) {
					t.Errorf("written although it says nothing new: %s\nwas %s\nis  %s", key, stands[key], value)
				}
				stands[key] = value
			}
		}
	}
	t.Logf("%d keys with %d bytes were written in 80 s, %.0f bytes/s", written, bytes, float64(bytes)/80)
	s.unrefused()
	for address := range w.Record().Nodes {
		delete(stands, prefix+"nodes/mymaster/"+address)
	}
	for key := range stands {
		if strings.HasPrefix(key, prefix+"nodes/") {
			t.Errorf("%s lapsed: its watchdog is alive", key)
		}
	}
}

// news is whether what a key holds now says what it did not say before.
func news(t *testing.T, key, before, now string) bool {
	t.Helper()
	read := func(text string, into any) {
		if err := json.Unmarshal([]byte(text), into); text != "" && err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	switch kind, _, _ := strings.Cut(key, "/"); kind {
	case "nodes":
		var was, is agent.Status
		read(before, &was)
		read(now, &is)
		return agent.NewsOf(was.Lasting(), is.Lasting()) != agent.Nothing
	case "reports":
		var was, is preflight.Node
		read(before, &was)
		read(now, &is)
		switch was.Lasting().News(is.Lasting()) {
		case preflight.Moved: // at most every five minutes
			return true
		case preflight.Changed: // by a word, and not by a number that grows by itself
			return !slices.Equal(wordsIn(t, before), wordsIn(t, now))
		}
		return false
	case "history":
		return before == ""
	}
	return before != now
}

// wordsIn are all names and words of a text in JSON, in order, and none of its
// numbers; but for what comes and goes by itself.
func wordsIn(t *testing.T, text string) (all []string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); text != "" && err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				switch {
				case passing.MatchString(name) || name == "at" || name == "rates" || name == "slow" || name == "replicas" || name == "answers":
				default:
					walk(at+"."+name, v[name])
				}
			}
		case []any:
			for _, e := range v {
				walk(at+"[]", e)
			}
		case string:
			all = append(all, at+"="+number.ReplaceAllString(v, "#"))
		case bool:
			all = append(all, fmt.Sprint(at, "=", v))
		default:
			all = append(all, at)
		}
	}
	walk("", v)
	return all
}

var (
	passing = regexp.MustCompile(`^(errorstat_|slave[0-9]|db[0-9])`) // lines of INFO that come and go with what clients do
	number  = regexp.MustCompile(`-?[0-9][0-9.]*`)
)
