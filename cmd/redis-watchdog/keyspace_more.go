package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
)

func (a *app) keyspaceDiffCommand() *cobra.Command {
	var maxmemory uint64
	top := 20
	c := &cobra.Command{
		Use:     "diff AUDIT AUDIT",
		Short:   "say what grew between two audits (files of keyspace -o json)",
		Example: "  redis-watchdog keyspace diff monday.json friday.json --maxmemory 17179869184",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			asJSON, err := a.json()
			if err != nil {
				return err
			}
			if top < 0 {
				return fmt.Errorf("--top %d is negative", top)
			}
			var audits [2]keyspace.Audit
			for i, name := range args {
				text, err := os.ReadFile(name)
				if err != nil {
					return unknown("read audit: %w", err)
				}
				if err := json.Unmarshal(text, &audits[i]); err != nil {
					return unknown("%s is no audit (keyspace … -o json): %w", name, err)
				}
			}
			diff, err := keyspace.Compare(audits[0], audits[1], maxmemory)
			if err != nil {
				return unknown("%w", err)
			}
			if asJSON {
				return a.printJSON(diff)
			}
			printDiff(a.printer(), diff, top)
			return nil
		},
	}
	a.outputFlag(c)
	c.Flags().Uint64Var(&maxmemory, "maxmemory", 0, "bytes at which the server is full: the days until then are told")
	c.Flags().IntVarP(&top, "top", "n", top, "lines of each table; 0 is all")
	return c
}

// signed is a number of bytes with its sign.
func signed(n int64) string {
	if n < 0 {
		return "-" + bytesText(uint64(-n))
	}
	return "+" + bytesText(uint64(n))
}

func printDiff(p *terminal.Printer, d keyspace.Diff, top int) {
	p.Line(terminal.Bold, "%s to %s: %+d keys, %s, %s a day", d.From.Format(time.RFC3339), d.To.Format(time.RFC3339), d.Keys, signed(d.Bytes), signed(d.BytesADay))
	if d.Full >= 0 {
		p.Line(terminal.Yellow, "at that pace it is full in %.1f days", d.Full)
	}
	for _, w := range d.Warnings {
		p.Line(terminal.Yellow, "%s", w)
	}
	cell := func(format string, args ...any) terminal.Cell {
		return terminal.Cell{Text: fmt.Sprintf(format, args...)}
	}
	cut := func(n int) int {
		if top == 0 {
			return n
		}
		return min(n, top)
	}
	rows := [][]terminal.Cell{{cell("PREFIX"), cell(""), cell("KEYS"), cell("MEMORY"), cell("NOW")}}
	for _, x := range d.Prefixes[:cut(len(d.Prefixes))] {
		rows = append(rows, []terminal.Cell{cell("%s", shortKey(x.Pattern)), cell("%s", x.What), cell("%+d", x.Keys), cell("%s", signed(x.Bytes)), cell("%s", bytesText(x.Now))})
	}
	p.Line(terminal.Plain, "")
	p.Table("", rows)
	if len(d.Large) == 0 {
		return
	}
	rows = [][]terminal.Cell{{cell("LARGE KEY"), cell("DB"), cell(""), cell("ELEMENTS"), cell("MEMORY"), cell("NOW")}}
	for _, x := range d.Large[:cut(len(d.Large))] {
		rows = append(rows, []terminal.Cell{cell("%s", shortKey(x.Key)), cell("%d", x.DB), cell("%s", x.What), cell("%+d", x.Elements), cell("%s", signed(x.Bytes)), cell("%s", bytesText(x.Now))})
	}
	p.Line(terminal.Plain, "")
	p.Table("", rows)
}

func (a *app) keyspaceEstimateCommand() *cobra.Command {
	var p size.Plan
	kind, model, allocator := "string", "redis 7.0", "jemalloc16"
	c := &cobra.Command{
		Use:     "estimate",
		Short:   "say how much memory data will take that is not there yet",
		Example: "  redis-watchdog keyspace estimate --type set --keys 90000 --key-bytes 14 --members 1 --member-bytes 10",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			asJSON, err := a.json()
			if err != nil {
				return err
			}
			var ok bool
			if p.Type, ok = rdb.ParseType(kind); !ok {
				return fmt.Errorf("type %q is none of string, list, set, zset, hash", kind)
			}
			if p.Type == rdb.String && p.Members > 0 {
				return errors.New("a string has no members: its length is --member-bytes")
			}
			classes, err := allocatorClasses(allocator)
			if err != nil {
				return err
			}
			m, err := size.New(model, classes)
			if err != nil {
				return err
			}
			e, err := m.Estimate(p)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(e)
			}
			printer := a.printer()
			printer.Line(terminal.Bold, "used_memory grows by %s, for %s", bytesText(e.Total), m.Name())
			printer.Line(terminal.Plain, "each key %d bytes as %s in MEMORY USAGE, all of them %s, and %s of tables", e.Key, e.Encoding, bytesText(e.Keys), bytesText(e.Tables))
			return nil
		},
	}
	a.outputFlag(c)
	f := c.Flags()
	f.StringVar(&kind, "type", kind, "string, list, set, zset or hash")
	f.Uint64Var(&p.Keys, "keys", 0, "how many keys")
	f.Uint64Var(&p.KeyBytes, "key-bytes", 0, "bytes of each key's name")
	f.Uint64Var(&p.Members, "members", 0, "elements of each: of a hash, its fields")
	f.Uint64Var(&p.MemberBytes, "member-bytes", 0, "bytes of each element, or of a string")
	f.Uint64Var(&p.ValueBytes, "value-bytes", 0, "bytes of each value of a hash")
	f.BoolVar(&p.Integers, "integers", false, "the elements, or the string, are integers")
	f.BoolVar(&p.TTL, "ttl", false, "the keys expire")
	f.StringVar(&model, "model", model, "whose sizes")
	f.StringVar(&allocator, "allocator", allocator, "whose size classes: jemalloc16, jemalloc8, libc")
	return c
}

// allocatorClasses are the size classes by the name of --allocator.
func allocatorClasses(name string) (*size.Classes, error) {
	switch name {
	case "jemalloc16":
		return size.Jemalloc(16), nil
	case "jemalloc8":
		return size.Jemalloc(8), nil
	case "libc":
		return size.Libc(), nil
	}
	return nil, fmt.Errorf("allocator %q is none of jemalloc16, jemalloc8, libc", name)
}
