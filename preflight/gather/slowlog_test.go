package gather

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestSlowLogNamesKeysAndNoOtherArgument(t *testing.T) {
	for text, want := range map[string]string{
		"DEL user:lastbuy":                    "user:lastbuy",
		"unlink a b":                          "a",
		"EVAL script 1 user:lastbuy 5":        "user:lastbuy",
		"EVAL script 0 secret":                "",
		"AUTH user secret":                    "",
		"CONFIG SET requirepass secret":       "",
		"KEYS *":                              "",
		"SET":                                 "",
		"DEL":                                 "",
		"GET ... (21 more arguments)":         "...", // a key may be called so
		"HGETALL " + strings.Repeat("k", 128): strings.Repeat("k", 128),
		"MIGRATE 10.0.0.1 6379 key 0 5000":    "",
		"sinter a b":                          "a",
		"":                                    "",
	} {
		if got := firstKey(strings.Split(text, " ")); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := firstKey([]string{"DEL", strings.Repeat("k", 100) + "... (300 more bytes)"}); got != "" {
		t.Errorf("cut off: got %q", got)
	}
	if got := firstKey([]string{"DEL", "... (300 more arguments)"}); got != "" {
		t.Errorf("left out: got %q", got)
	}
}

// An entry that makes no sense is left out; the others stand.
func TestSlowLogEntryThatMakesNoSense(t *testing.T) {
	entry := func(at, took any, words ...any) any { return []any{int64(1), at, took, words} }
	list := []any{
		nil, "x", []any{int64(1)}, entry("x", int64(1), "DEL"), entry(int64(1), int64(-5), "DEL"), entry(int64(1), int64(math.MaxInt64), "DEL"), entry(int64(1), int64(5)),
		entry(int64(1000), int64(6100000), "del", "user:lastbuy"),
	}
	got := slowEntriesOf(list, time.Unix(1003, 0))
	want := SlowEntry{Age: 3 * time.Second, Took: 6100 * time.Millisecond, Command: "DEL", Key: "user:lastbuy"}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %+v", got)
	}
}
