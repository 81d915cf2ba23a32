package keyspace

import (
	"cmp"
	"fmt"
	"sort"
	"time"
)

// Diff is what changed from one audit to a later one of the same key space.
// Bytes are of memory, and signed.
type Diff struct {
	Schema    int           `json:"schema"`
	From      time.Time     `json:"from"`
	To        time.Time     `json:"to"`
	Keys      int64         `json:"keys"`
	Bytes     int64         `json:"bytes"`
	BytesADay int64         `json:"bytes_a_day"`
	Full      float64       `json:"days_until_full"` // at that pace until Maxmemory; negative: never, or not asked
	Prefixes  []PrefixDiff  `json:"prefixes"`        // by how much they changed
	Large     []LargeDiff   `json:"large"`           // keys that are large now, or were
	Warnings  []string      `json:"warnings,omitempty"`
	Elapsed   time.Duration `json:"-"`
}

// PrefixDiff is one prefix's change.
type PrefixDiff struct {
	Pattern string `json:"pattern"`
	What    string `json:"what"` // "new", "gone", "grown" or "shrunk"
	Keys    int64  `json:"keys"`
	Bytes   int64  `json:"bytes"`
	Now     uint64 `json:"bytes_now"`
}

// LargeDiff is one large key's change. A key that is in only one of the two
// audits may have been there and below their limits.
type LargeDiff struct {
	Key      string `json:"key"`
	DB       int    `json:"db"`
	Type     string `json:"type"`
	What     string `json:"what"`
	Elements int64  `json:"elements"`
	Bytes    int64  `json:"bytes"`
	Now      uint64 `json:"bytes_now"`
}

// Compare is the change from a to b, whichever is the older. maxmemory is where
// b's server is full; zero: not asked.
func Compare(a, b Audit, maxmemory uint64) (Diff, error) {
	for _, x := range []Audit{a, b} {
		if x.Schema != Schema {
			return Diff{}, fmt.Errorf("audit of %s has schema %d, this is %d", x.Source.Name, x.Schema, Schema)
		}
	}
	if b.At.Before(a.At) {
		a, b = b, a
	}
	before, after := memory(a, b)
	d := Diff{Schema: Schema, From: a.At, To: b.At, Elapsed: b.At.Sub(a.At), Full: -1,
		Keys: int64(b.Keys) - int64(a.Keys), Bytes: int64(after) - int64(before)}
	for _, x := range []Audit{a, b} {
		if !x.Complete {
			d.Warnings = append(d.Warnings, fmt.Sprintf("the audit of %s is not complete: %s", x.At.Format(time.RFC3339), x.Incomplete))
		}
	}
	if a.Model != b.Model {
		d.Warnings = append(d.Warnings, fmt.Sprintf("sizes were estimated for %s and for %s", a.Model, b.Model))
	}
	if days := d.Elapsed.Hours() / 24; days > 0 {
		d.BytesADay = int64(float64(d.Bytes) / days)
		if maxmemory > 0 && d.BytesADay > 0 {
			d.Full = max(0, (float64(maxmemory)-float64(after))/float64(d.BytesADay))
		}
	}
	d.Prefixes = comparePrefixes(a.Prefixes, b.Prefixes)
	d.Large = compareLarge(a.Large, b.Large)
	return d, nil
}

// memory is what both take by the same measure: of used_memory where both know
// it, which a scan does not.
func memory(a, b Audit) (before, after uint64) {
	if a.Used > 0 && b.Used > 0 {
		return a.Used, b.Used
	}
	return a.Bytes + a.Tables, b.Bytes + b.Tables
}

// what names a change; empty: there is none.
func what(before, after uint64, was, is bool) string {
	switch {
	case !was:
		return "new"
	case !is:
		return "gone"
	case after > before:
		return "grown"
	case after < before:
		return "shrunk"
	}
	return ""
}

func comparePrefixes(a, b []Prefix) []PrefixDiff {
	before := map[string]Prefix{}
	for _, p := range a {
		before[p.Pattern] = p
	}
	var all []PrefixDiff
	add := func(old, now Prefix, was, is bool) {
		if w := what(old.Bytes, now.Bytes, was, is); w != "" {
			all = append(all, PrefixDiff{Pattern: cmp.Or(now.Pattern, old.Pattern), What: w, Keys: int64(now.Keys) - int64(old.Keys),
				Bytes: int64(now.Bytes) - int64(old.Bytes), Now: now.Bytes})
		}
	}
	for _, p := range b {
		old, was := before[p.Pattern]
		delete(before, p.Pattern)
		add(old, p, was, true)
	}
	for _, p := range before {
		add(p, Prefix{}, true, false)
	}
	sort.Slice(all, func(i, j int) bool {
		x, y := &all[i], &all[j]
		return cmp.Or(cmp.Compare(abs(y.Bytes), abs(x.Bytes)), cmp.Compare(x.Pattern, y.Pattern)) < 0
	})
	return all
}

func compareLarge(a, b []Large) []LargeDiff {
	type id struct {
		db  int
		key string
	}
	before := map[id]Large{}
	for _, l := range a {
		before[id{l.DB, l.Key}] = l
	}
	var all []LargeDiff
	add := func(old, now Large, was, is bool) {
		if !old.Above && !now.Above {
			return // the largest of a small type come and go
		}
		if w := what(old.Bytes, now.Bytes, was, is); w != "" {
			all = append(all, LargeDiff{Key: cmp.Or(now.Key, old.Key), DB: now.DB | old.DB, Type: cmp.Or(now.Type, old.Type), What: w,
				Elements: int64(now.Elements) - int64(old.Elements), Bytes: int64(now.Bytes) - int64(old.Bytes), Now: now.Bytes})
		}
	}
	for _, l := range b {
		at := id{l.DB, l.Key}
		old, was := before[at]
		delete(before, at)
		add(old, l, was, true)
	}
	for _, l := range before {
		add(l, Large{}, true, false)
	}
	sort.Slice(all, func(i, j int) bool {
		x, y := &all[i], &all[j]
		return cmp.Or(cmp.Compare(abs(y.Bytes), abs(x.Bytes)), cmp.Compare(x.DB, y.DB), cmp.Compare(x.Key, y.Key)) < 0
	})
	return all
}

func abs(n int64) int64 { return max(n, -n) }
