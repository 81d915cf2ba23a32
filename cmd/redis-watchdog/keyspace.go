package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/page"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

type keyspaceOptions struct {
	rdb         string
	aof         string
	from        string
	scan        string
	budget      time.Duration
	resume      string
	master      bool
	user        string
	password    string
	ca          string
	model       string
	allocator   string
	hashNames   bool
	noCRC       bool
	top         int
	html        string
	fit         string
	downAfter   time.Duration
	keep        string
	keepCluster bool
	table       string
}

func (a *app) keyspaceCommand() *cobra.Command {
	var o keyspaceOptions
	c := &cobra.Command{
		Use:   "keyspace --rdb FILE | --aof DIR | --from HOST:PORT | --scan HOST:PORT",
		Short: "say which keys are large, what they are made of, when they expire",
		Long: "keyspace reads every key of an RDB file, of an append-only directory, or of what a replica sends to its replicas, " +
			"as a stream, without holding it, and adds up what is in it.\n\n" +
			"Exit code: 0 all was read, 1 only a part was (it is printed, and said to be one), 2 nothing could be read.",
		Example: "  redis-watchdog keyspace --rdb /var/lib/redis/dump.rdb\n" +
			"  redis-watchdog keyspace --from 10.0.0.12:6379 --password-file /etc/redis-watchdog/redis-password\n" +
			"  redis-watchdog keyspace --scan 10.0.0.12:6379 --resume /var/tmp/scan\n" +
			"  zcat backup.rdb.gz | redis-watchdog keyspace --rdb - -o json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := a.json()
			switch {
			case err != nil && a.output != "csv":
				return fmt.Errorf("output %q is none of text, json and csv", a.output)
			case auditTables[o.table] == nil:
				return fmt.Errorf("--table %q is none of %s", o.table, tableNames())
			case c.Flags().Changed("table") && a.output != "csv":
				return errors.New("--table is for -o csv")
			case o.rdb == "" && o.aof == "" && o.from == "" && o.scan == "":
				return errors.New("no source given: an RDB file with --rdb (- is the standard input), an append-only directory with --aof, a replica with --from, or any Redis with --scan")
			case o.from == "" && o.master:
				return errors.New("--master is for --from")
			case o.from == "" && o.scan == "" && (o.user != "" || o.password != "" || o.ca != ""):
				return errors.New("--user, --password-file and --tls-ca are for --from and --scan")
			case o.scan == "" && (o.resume != "" || c.Flags().Changed("budget")):
				return errors.New("--resume and --budget are for --scan")
			case o.keepCluster && o.from == "" && o.scan == "":
				return errors.New("--keep-cluster is for --from and --scan")
			case o.downAfter < 0:
				return fmt.Errorf("--down-after %v is negative", o.downAfter)
			case o.budget <= 0:
				return fmt.Errorf("--budget %v is no time", o.budget)
			}
			return a.keyspace(c.Context(), o)
		},
	}
	a.outputFlag(c, "csv")
	f := c.Flags()
	f.StringVar(&o.table, "table", "large", "which table -o csv prints: "+tableNames())
	f.StringVar(&o.rdb, "rdb", "", "an RDB file; - is the standard input")
	f.StringVar(&o.aof, "aof", "", "an append-only directory (appenddirname), or an append-only file with an RDB in front")
	f.StringVar(&o.from, "from", "", "a replica, HOST:PORT or the path of a socket: off its replication stream, with nothing on disk here")
	f.StringVar(&o.scan, "scan", "", "a Redis, HOST:PORT or the path of a socket: by SCAN and what it says of each key, where no stream may be had")
	f.DurationVar(&o.budget, "budget", time.Millisecond, "how long --scan lets the server work in one go, while its other clients wait")
	f.StringVar(&o.resume, "resume", "", "file in which --scan keeps where it is, and from which it goes on")
	f.BoolVar(&o.master, "master", false, "let --from ask a master: every Sentinel then lists a replica ADDRESS:0 until SENTINEL RESET")
	f.StringVar(&o.user, "user", "", "user of --from (rights +sync +replconf +info +memory|malloc-stats) or --scan (+scan +type +pttl +memory|usage +memory|malloc-stats +object|encoding +info +select, those that count: STRLEN and the like, and ~*)")
	f.StringVar(&o.password, "password-file", "", "file with the password of --user, or of the default user")
	f.StringVar(&o.ca, "tls-ca", "", "speak TLS, and trust this authority")
	c.MarkFlagsMutuallyExclusive("rdb", "aof", "from", "scan")
	f.StringVar(&o.model, "model", "", `whose sizes are estimated, as "redis 7.0"; default: the server that wrote the file`)
	f.StringVar(&o.allocator, "allocator", "", "whose size classes: jemalloc16 (Debian's packages), jemalloc8 (built from Redis' sources), libc; default: the server's own (MEMORY MALLOC-STATS), and jemalloc16 of a file")
	f.BoolVar(&o.hashNames, "hash-names", false, "show hashes instead of the names of keys")
	f.BoolVar(&o.noCRC, "no-crc", false, "do not check the file's CRC-64: long values of a file are skipped without being read")
	f.StringVar(&o.html, "html", "", "write a page into this file, too: a map and tables, of one file, for a browser")
	f.StringVar(&o.fit, "fit", fitAuto, "whose program a throw-away server is of that measures how long keys would stall: auto (that of --from or --scan, on its own host), off, or a program")
	f.DurationVar(&o.downAfter, "down-after", 0, "down-after-milliseconds of its group: stalls are held against it")
	f.StringVar(&o.keep, "keep", "", "keep what a preflight of this group needs in etcd, as --config has it: the names of large keys, or with --hash-names their hashes")
	f.BoolVar(&o.keepCluster, "keep-cluster", false, "likewise of a node of Redis Cluster, for preflight --migrate cluster:SLOT")
	c.MarkFlagsMutuallyExclusive("keep", "keep-cluster")
	f.IntVarP(&o.top, "top", "n", 20, "lines of each table; 0 is all")
	c.AddCommand(a.keyspaceDiffCommand(), a.keyspaceEstimateCommand(), a.keyspaceFleetCommand())
	return c
}

func (a *app) keyspace(ctx context.Context, o keyspaceOptions) error {
	var classes *size.Classes
	if o.allocator != "" {
		var err error
		if classes, err = allocatorClasses(o.allocator); err != nil {
			return err
		}
	}
	if o.top < 0 {
		return fmt.Errorf("--top %d is negative", o.top)
	}
	keep, wrong := a.keeper(ctx, o)
	if wrong != nil {
		return wrong
	}
	if o.fit, wrong = fitProgram(o.fit); wrong != nil {
		return wrong
	}
	logging.Disable() // go-redis' own, of what is returned as an error besides
	bar := terminal.NewBar(a.errOut)
	so := source.Options{Model: o.model, Classes: classes, CRC: !o.noCRC, HashNames: o.hashNames, Now: time.Now, Progress: bar.Show}
	audit, err := a.audit(ctx, o, so)
	bar.End()
	if err != nil && audit.Schema == 0 {
		return unknown("%w", err)
	}
	a.wouldStall(ctx, o, &audit)
	if o.html != "" {
		text, err := page.HTML(audit)
		if err != nil {
			return unknown("%w", err)
		}
		if err := os.WriteFile(o.html, text, 0o600); err != nil {
			return unknown("write page: %w", err)
		}
	}
	switch a.output {
	case "json":
		if err := a.printJSON(audit); err != nil {
			return err
		}
	case "csv":
		if err := writeCSV(a.out, auditTables[o.table](audit)); err != nil {
			return unknown("write output: %w", err)
		}
	default:
		printAudit(a.printer(), audit, o.top)
	}
	if err != nil {
		return blocked("%w", err)
	}
	return keep(ctx, audit, o.hashNames)
}

// audit reads the source that is named.
func (a *app) audit(ctx context.Context, o keyspaceOptions, so source.Options) (keyspace.Audit, error) {
	switch {
	case o.aof != "":
		return source.AOF(ctx, o.aof, so)
	case o.from == "" && o.scan == "":
		return source.File(ctx, o.rdb, os.Stdin, so)
	}
	s, err := o.reach(o.server())
	if err != nil {
		return keyspace.Audit{}, err
	}
	if o.scan == "" {
		return source.Stream(ctx, s, source.StreamOptions{Options: so, Master: o.master})
	}
	scan := source.ScanOptions{Options: so, Budget: o.budget}
	if o.resume != "" {
		state, err := readState(o.resume)
		if err != nil {
			return keyspace.Audit{}, err
		}
		scan.Resume, scan.Save = state, func(s source.State) error { return statedir.WriteJSON(o.resume, s, statedir.How{}) }
	}
	audit, err := source.Scan(ctx, s, scan)
	if err == nil && o.resume != "" {
		if gone := os.Remove(o.resume); gone != nil { // the next scan begins anew
			return audit, fmt.Errorf("remove what was kept: %w", gone)
		}
	}
	return audit, err
}

// reach is how a server is spoken to.
func (o keyspaceOptions) reach(address string) (source.Server, error) {
	s := source.Server{Address: address, Username: o.user}
	if o.password != "" {
		text, err := os.ReadFile(o.password)
		if err != nil {
			return s, fmt.Errorf("read password: %w", err)
		}
		s.Password = strings.TrimRight(string(text), "\r\n")
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return s, fmt.Errorf("read authority: %w", err)
		}
		s.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		if !s.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return s, fmt.Errorf("%s has no certificate", o.ca)
		}
	}
	return s, nil
}

// readState reads what a scan has kept; nil: there is nothing.
func readState(name string) (*source.State, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read where the scan was: %w", err)
	}
	var s source.State
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%s is not what a scan has kept: %w; remove it to begin anew", name, err)
	}
	return &s, nil
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
	if a.Source.Kind == "scan" {
		p.Line(terminal.Plain, "by SCAN of %s, begun %s", writer, a.At.Format(time.RFC3339))
	} else {
		p.Line(terminal.Plain, "%s, written by %s, begun %s, CRC %s", a.Source.Format, writer, a.At.Format(time.RFC3339), a.Source.CRC)
	}
	if a.Used > 0 {
		p.Line(terminal.Plain, "used_memory grows by about %s with it: the allocator gives more than MEMORY USAGE counts, and the tables of keys take %s", bytesText(a.Used), bytesText(a.Tables))
	}
	if a.Classes == keyspace.ClassesAssumed && a.Source.Kind != "rdb" && a.Source.Kind != "aof" {
		p.Line(terminal.Yellow, "the server does not tell its allocator's size classes (MEMORY MALLOC-STATS): Debian's are assumed; name them with --allocator")
	}
	if !a.Source.Proven {
		p.Line(terminal.Yellow, "this format was never tested on a file of a real server")
	}
	if t := a.Tail; t != nil {
		p.Line(terminal.Plain, "behind it %s commands of %s, which are counted and no more: it is of the last rewrite, not of now", countText(t.Commands), bytesText(t.Bytes))
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
	printStalls(p, a.Stalls, cut)
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
