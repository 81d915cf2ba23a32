package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

// slotRow is a slot with the rule by which it is one.
type slotRow struct {
	Rule  string `json:"rule"`
	Slot  int    `json:"slot"`
	Keys  uint64 `json:"keys"`
	Bytes uint64 `json:"bytes"`
}

// auditTables are what -o csv can print, a slice of structs each: the columns
// have the names of the JSON.
var auditTables = map[string]func(keyspace.Audit) any{
	"large":     func(a keyspace.Audit) any { return a.Large },
	"prefixes":  func(a keyspace.Audit) any { return append(slices.Clone(a.Prefixes), a.Others) },
	"types":     func(a keyspace.Audit) any { return a.Types },
	"encodings": func(a keyspace.Audit) any { return a.Encodings },
	"databases": func(a keyspace.Audit) any { return a.Databases },
	"expiry":    func(a keyspace.Audit) any { return a.Expiry.Classes },
	"waste":     func(a keyspace.Audit) any { return a.Waste },
	"slots": func(a keyspace.Audit) any {
		rows := []slotRow{}
		for _, rule := range slices.Sorted(maps.Keys(a.Slots)) {
			for _, s := range a.Slots[rule].Largest {
				rows = append(rows, slotRow{rule, s.Slot, s.Keys, s.Bytes})
			}
		}
		return rows
	},
}

func tableNames() string { return strings.Join(slices.Sorted(maps.Keys(auditTables)), ", ") }

// writeCSV writes a slice of structs, a line each below a line of their names in
// JSON.
func writeCSV(w io.Writer, rows any) error {
	out := csv.NewWriter(w)
	all := reflect.ValueOf(rows)
	kind := all.Type().Elem()
	line := make([]string, kind.NumField())
	for i := range line {
		line[i], _, _ = strings.Cut(kind.Field(i).Tag.Get("json"), ",")
	}
	if err := out.Write(line); err != nil {
		return err
	}
	for n := range all.Len() {
		for i := range line {
			line[i] = csvCell(all.Index(n).Field(i).Interface())
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// csvCell is a value as text. Bytes of a name that are no text stand as \x00, so
// that each line stays one.
func csvCell(v any) string {
	switch v := v.(type) {
	case time.Time:
		return v.Format(time.RFC3339)
	case string:
		var b strings.Builder
		for i, r := range v {
			if _, size := utf8.DecodeRuneInString(v[i:]); r == utf8.RuneError && size == 1 || unicode.IsControl(r) {
				for _, c := range []byte(v[i : i+size]) {
					fmt.Fprintf(&b, `\x%02x`, c)
				}
				continue
			}
			b.WriteRune(r)
		}
		return b.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(v)
}
