package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
)

type keyspaceOptions struct {
	rdb       string
	model     string
	allocator string
	hashNames bool
	noCRC     bool
	top       int
}

func (a *app) keyspaceCommand() *cobra.Command {
	var o keyspaceOptions
	c := &cobra.Command{
		Use:   "keyspace --rdb FILE",
		Short: "say which keys are large, what they are made of, when they expire",
		Long: "keyspace reads every key of an RDB file as a stream, without holding it, and adds up what is in it.\n\n" +
			"Exit code: 0 all was read, 1 only a part was (it is printed, and said to be one), 2 nothing could be read.",
		Example: "  redis-watchdog keyspace --rdb /var/lib/redis/dump.rdb\n" +
			"  zcat backup.rdb.gz | redis-watchdog keyspace --rdb - -o json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			asJSON, err := a.json()
			switch {
			case err != nil:
				return err
			case o.rdb == "":
				return errors.New("no source given: name an RDB file with --rdb, or - for the standard input")
			}
			return a.keyspace(c.Context(), o, asJSON)
		},
	}
	a.outputFlag(c)
	f := c.Flags()
	f.StringVar(&o.rdb, "rdb", "", "an RDB file; - is the standard input")
	f.StringVar(&o.model, "model", "", `whose sizes are estimated, as "redis 7.0"; default: the server that wrote the file`)
	f.StringVar(&o.allocator, "allocator", "jemalloc16", "whose size classes: jemalloc16 (Debian's packages), jemalloc8 (built from Redis' sources), libc")
	f.BoolVar(&o.hashNames, "hash-names", false, "show hashes instead of the names of keys")
	f.BoolVar(&o.noCRC, "no-crc", false, "do not check the file's CRC-64: long values of a file are skipped without being read")
	f.IntVarP(&o.top, "top", "n", 20, "lines of each table; 0 is all")
	return c
}

func (a *app) keyspace(ctx context.Context, o keyspaceOptions, asJSON bool) error {
	var classes *size.Classes
	switch o.allocator {
	case "jemalloc16":
		classes = size.Jemalloc(16)
	case "jemalloc8":
		classes = size.Jemalloc(8)
	case "libc":
		classes = size.Libc()
	default:
		return fmt.Errorf("allocator %q is none of jemalloc16, jemalloc8, libc", o.allocator)
	}
	if o.top < 0 {
		return fmt.Errorf("--top %d is negative", o.top)
	}
	bar := terminal.NewBar(a.errOut)
	audit, err := source.File(ctx, o.rdb, os.Stdin, source.Options{Model: o.model, Classes: classes, CRC: !o.noCRC, HashNames: o.hashNames,
		Now: time.Now, Progress: bar.Show})
	bar.End()
	if err != nil && audit.Schema == 0 {
		return unknown("%w", err)
	}
	if asJSON {
		if err := a.printJSON(audit); err != nil {
			return err
		}
	} else {
		printAudit(a.printer(), audit, o.top)
	}
	if err != nil {
		return blocked("%w", err)
	}
	return nil
}

func printAudit(p *terminal.Printer, a keyspace.Audit, top int) {
	cut := func(n int) int {
		if top == 0 {
			return n
		}
		return min(n, top)
	}
	cell := func(format string, args ...any) terminal.Cell {
		return terminal.Cell{Text: fmt.Sprintf(format, args...)}
	}
	writer := a.Source.Server
	if writer == "" {
		writer = "a server that does not say its version"
	}
	p.Line(terminal.Bold, "%s: %s keys, %s of memory (estimated for %s)", a.Source.Name, countText(a.Keys), bytesText(a.Bytes), a.Model)
	p.Line(terminal.Plain, "%s, written by %s, begun %s, CRC %s", a.Source.Format, writer, a.At.Format(time.RFC3339), a.Source.CRC)
	if !a.Source.Proven {
		p.Line(terminal.Yellow, "this format was never tested on a file of a real server")
	}
	if !a.Complete {
		p.Line(terminal.Red, "only a part was read: %s", a.Incomplete)
	}
	rows := [][]terminal.Cell{{cell("TYPE"), cell("KEYS"), cell("MEMORY"), cell("ELEMENTS"), cell("MOST IN ONE"), cell("LONGEST")}}
	for _, s := range a.Encodings {
		rows = append(rows, []terminal.Cell{cell("%s", s.Name), cell("%s", countText(s.Keys)), cell("%s", bytesText(s.Bytes)), cell("%s", countText(s.Elements)), cell("%s", countText(s.Most)), cell("%s", bytesText(s.Longest))})
	}
	p.Line(terminal.Plain, "")
	p.Table("", rows)
	rows = [][]terminal.Cell{{cell("PREFIX"), cell("TYPE"), cell("KEYS"), cell("MEMORY"), cell("WITHOUT TTL"), cell("LARGEST")}}
	for _, x := range a.Prefixes[:cut(len(a.Prefixes))] {
		rows = append(rows, []terminal.Cell{cell("%s", shortKey(x.Pattern)), cell("%s", x.Type), cell("%s", countText(x.Keys)), cell("%s", bytesText(x.Bytes)), cell("%s", countText(x.NoTTL)), cell("%s", bytesText(x.Largest))})
	}
	p.Line(terminal.Plain, "")
	p.Table("", rows)
	rows = [][]terminal.Cell{{cell("LARGE KEY"), cell("DB"), cell("TYPE"), cell("ELEMENTS"), cell("MEMORY"), cell("SLOT"), cell("CODIS")}}
	for _, x := range a.Large[:cut(len(a.Large))] {
		elements := countText(x.Elements)
		if !x.Counted {
			elements = "?"
		}
		colour := terminal.Plain
		if x.Above {
			colour = terminal.Yellow
		}
		rows = append(rows, []terminal.Cell{{Text: shortKey(x.Key), Colour: colour}, cell("%d", x.DB), cell("%s/%s", x.Type, x.Encoding), cell("%s", elements), cell("%s", bytesText(x.Bytes)), cell("%d", x.Cluster), cell("%d", x.Codis)})
	}
	p.Line(terminal.Plain, "")
	p.Table("", rows)
	rows = [][]terminal.Cell{{cell("EXPIRES WITHIN"), cell("KEYS"), cell("MEMORY")}}
	for _, x := range a.Expiry.Classes {
		rows = append(rows, []terminal.Cell{cell("%s", x.Name), cell("%s", countText(x.Keys)), cell("%s", bytesText(x.Bytes))})
	}
	p.Line(terminal.Plain, "")
	p.Table("", rows)
	if w := a.Expiry.Worst; w.Keys > 0 {
		p.Line(terminal.Plain, "most in one second of the next seven days: %d at %s", w.Keys, w.At.Format(time.RFC3339))
	}
	if len(a.Waste) > 0 {
		rows = [][]terminal.Cell{{cell("COULD BE SMALLER"), cell("PREFIX"), cell("KEYS"), cell("NOW"), cell("AFTER")}}
		for _, x := range a.Waste[:cut(len(a.Waste))] {
			rows = append(rows, []terminal.Cell{cell("%s", x.Kind), cell("%s", x.Pattern), cell("%s", countText(x.Keys)), cell("%s", bytesText(x.Now)), cell("%s", bytesText(x.After))})
		}
		p.Line(terminal.Plain, "")
		p.Table("", rows)
	}
}

// countText is a number that a person reads: 1.2 M.
func countText(n uint64) string {
	switch {
	case n >= 10_000_000_000:
		return fmt.Sprintf("%.1f G", float64(n)/1e9)
	case n >= 10_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 100_000:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// bytesText is a number of bytes that a person reads.
func bytesText(n uint64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, at := float64(n), 0
	for f >= 1024 && at < len(units)-1 {
		f /= 1024
		at++
	}
	if at == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[at])
}

// shortKey is what a line of a table has room for.
func shortKey(name string) string {
	const most = 60
	if runes := []rune(name); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return name
}
