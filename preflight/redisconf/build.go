package redisconf

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Kind is how a parameter's arguments are read and printed.
type Kind string

// Kinds. What stands behind a kind in a table is its detail.
const (
	Bool        Kind = "bool"
	Enum        Kind = "enum"        // detail: its words, "word>other" where CONFIG GET prints another
	Flags       Kind = "flags"       // several words; detail: them, the one that stands for none first
	Integer     Kind = "int"         // detail: least, most
	Memory      Kind = "memory"      // likewise; bytes, with a unit
	Percent     Kind = "percent"     // memory, or a percentage
	Octal       Kind = "octal"       // detail: least, most
	LooseMemory Kind = "loosememory" // what is no memory value counts as 0
	LooseOctal  Kind = "looseoctal"  // likewise
	Text        Kind = "text"        // a C string: ends at a NUL
	Bytes       Kind = "bytes"       // may hold any byte
	// The rest is one parameter each.
	Bind        Kind = "bind"
	Buffers     Kind = "buffers" // client-output-buffer-limit
	Dir         Kind = "dir"
	Events      Kind = "events" // notify-keyspace-events
	Percentiles Kind = "percentiles"
	ReplicaOf   Kind = "replicaof"
	Runtime     Kind = "runtime" // CONFIG SET only: no line of a file
	Save        Kind = "save"
	Scores      Kind = "scores" // oom-score-adj-values
)

// Parameter is what a build knows of one of its parameters.
type Parameter struct {
	Name      string   // as CONFIG REWRITE writes it
	Aliases   []string // other names it goes by
	Kind      Kind
	Detail    []string
	Immutable bool   // CONFIG SET is refused
	Hidden    bool   // not in CONFIG GET *
	Default   string // as CONFIG GET prints it on an empty file
}

// Build is what one version of the server knows.
type Build struct {
	Product string // "redis" or "valkey"
	Version string // of the table
	// Borrowed says that the table is another version's: it tells how a value
	// that the file names is read, and nothing of defaults.
	Borrowed bool
	Names    []*Parameter // by name
	// Bare holds the defaults that differ where the server was started with no
	// argument at all: 6.0 drops the save points as soon as there is one.
	Bare map[string]string

	byName map[string]*Parameter
	older  bool // before 7.0: its own code for what takes several arguments
	nested bool // 6.2: save points are counted per file
	later  bool // from 8.0 on
	// unescaped: CONFIG REWRITE forgets to escape, see rewriting.quote.
	unescaped bool
}

// Parameter finds one by any of its names, in any case; nil: unknown.
func (b *Build) Parameter(name string) *Parameter { return b.byName[strings.ToLower(name)] }

//go:embed tables/*.txt
var tables embed.FS

// ErrNoTable says that nothing at all is known of a product.
var ErrNoTable = errors.New("no table of parameters")

// Builds lists the tables, as "redis 7.0.15".
func Builds() ([]string, error) {
	entries, err := fs.ReadDir(tables, "tables")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.Replace(strings.TrimSuffix(e.Name(), ".txt"), "-", " ", 1))
	}
	return names, nil
}

// ForVersion returns what is known of a version of a product ("redis",
// "valkey"): its own table, or the nearest one of the same product, Borrowed.
func ForVersion(product, version string) (*Build, error) {
	all, err := Builds()
	if err != nil {
		return nil, err
	}
	best, exact := "", false
	for _, name := range all {
		p, v, _ := strings.Cut(name, " ")
		if p != product {
			continue
		}
		if v == version {
			best, exact = v, true
			break
		}
		if best == "" || nearer(version, v, best) {
			best = v
		}
	}
	if best == "" {
		return nil, fmt.Errorf("%w for %s %s", ErrNoTable, product, version)
	}
	text, err := tables.ReadFile("tables/" + product + "-" + best + ".txt")
	if err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	b, err := ParseTable(string(text))
	if err != nil {
		return nil, err
	}
	b.Borrowed = !exact
	b.dialect(version)
	return b, nil
}

// nearer says whether a is nearer to want than b: the newest that is not newer
// than it, else the oldest.
func nearer(want, a, b string) bool {
	aOld, bOld := compareVersions(a, want) <= 0, compareVersions(b, want) <= 0
	if aOld != bOld {
		return aOld
	}
	return (compareVersions(a, b) > 0) == aOld
}

// compareVersions orders "7.0.15" and the like.
func compareVersions(a, b string) int { return slices.Compare(versionNumbers(a), versionNumbers(b)) }

func versionNumbers(v string) []int {
	var numbers []int
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = -1 // "8.0-rc1": before 8.0.0
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func (b *Build) dialect(version string) {
	b.older = compareVersions(version, "7") < 0 && b.Product == "redis"
	b.later = compareVersions(version, "8") >= 0
	b.unescaped = b.Product == "valkey" && compareVersions(version, "8.1") >= 0 && compareVersions(version, "8.1.2") < 0
	b.nested = b.older && compareVersions(version, "6.2") >= 0
}

// ParseTable reads a table as tools/redistables writes it.
func ParseTable(text string) (*Build, error) {
	b := &Build{byName: map[string]*Parameter{}, Bare: map[string]string{}}
	for number, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, "\t", 4)
		switch {
		case b.Product == "":
			b.Product, b.Version, _ = strings.Cut(line, " ")
		case len(fields) == 3 && fields[0] == "bare":
			b.Bare[fields[1]] = fields[2]
		case len(fields) == 4:
			b.add(fields)
		default:
			return nil, fmt.Errorf("table of %s %s, line %d: want 4 fields, got %d", b.Product, b.Version, number+1, len(fields))
		}
	}
	b.dialect(b.Version)
	return b, nil
}

func (b *Build) add(fields []string) {
	names, kind := strings.Split(fields[0], "/"), strings.Fields(fields[1])
	p := &Parameter{
		Name: names[0], Aliases: names[1:], Kind: Kind(kind[0]), Detail: kind[1:], Default: fields[3],
		Immutable: strings.Contains(fields[2], "!"), Hidden: strings.Contains(fields[2], "~"),
	}
	b.Names = append(b.Names, p)
	for _, name := range names {
		b.byName[name] = p
	}
}
