package source

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// AOF audits an append-only directory of Redis 7 (its manifest names the files),
// or one append-only file with an RDB in front: the RDB is audited, the commands
// behind it are counted. So an audit is of the last rewrite, not of now.
func AOF(ctx context.Context, name string, o Options) (keyspace.Audit, error) {
	info, err := os.Stat(name)
	if err != nil {
		return keyspace.Audit{}, fmt.Errorf("open append-only file: %w", err)
	}
	if !info.IsDir() {
		return preamble(ctx, name, o)
	}
	m, err := manifest(name)
	if err != nil {
		return keyspace.Audit{}, err
	}
	base := filepath.Join(name, m.base)
	if m.base == "" || !strings.HasSuffix(m.base, ".rdb") {
		return keyspace.Audit{}, fmt.Errorf("%s: its base is commands (aof-use-rdb-preamble no), which say what was done and not what is there; audit the server itself with --from", name)
	}
	audit, err := File(ctx, base, nil, o)
	audit.Source.Kind, audit.Source.Name = "aof", name
	if audit.Schema == 0 || err != nil {
		return audit, err
	}
	audit.Tail = &keyspace.Tail{}
	for _, tail := range m.tail {
		if err := countFile(ctx, filepath.Join(name, tail), 0, audit.Tail); err != nil {
			audit.Complete, audit.Incomplete = false, err.Error()
			return audit, err
		}
	}
	return audit, nil
}

// preamble audits one file.
func preamble(ctx context.Context, name string, o Options) (keyspace.Audit, error) {
	audit, err := File(ctx, name, nil, o)
	if err != nil {
		if first := make([]byte, 1); audit.Schema == 0 && begins(name, first) && first[0] == '*' {
			err = fmt.Errorf("%s: is commands from its beginning (aof-use-rdb-preamble no), which say what was done and not what is there; audit the server itself with --from", name)
		}
		return audit, err
	}
	audit.Source.Kind = "aof"
	audit.Tail = &keyspace.Tail{}
	if err := countFile(ctx, name, audit.Source.Bytes, audit.Tail); err != nil {
		audit.Complete, audit.Incomplete = false, err.Error()
		return audit, err
	}
	return audit, nil
}

// begins reads the first bytes of a file; false: there are not so many.
func begins(name string, into []byte) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = io.ReadFull(f, into)
	return err == nil
}

// files are those that a manifest names: type b is the base, i what came after
// it in the order of seq, h what a rewrite has left behind (aof.c).
type files struct {
	base string
	tail []string
}

func manifest(dir string) (files, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*.manifest"))
	if err != nil || len(found) != 1 {
		return files{}, fmt.Errorf("%s has %d files *.manifest; name the directory of redis.conf's appenddirname", dir, len(found))
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return files{}, fmt.Errorf("read manifest: %w", err)
	}
	type tail struct {
		seq  uint64
		name string
	}
	var f files
	var tails []tail
	for n, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		fields := map[string]string{}
		for i := 0; i+1 < len(words); i += 2 {
			fields[words[i]] = strings.Trim(words[i+1], `"`)
		}
		name := fields["file"]
		if name == "" || filepath.Base(name) != name {
			return files{}, fmt.Errorf("%s:%d: %q names no file of its directory", found[0], n+1, line)
		}
		switch fields["type"] {
		case "b":
			f.base = name
		case "i":
			seq, err := strconv.ParseUint(fields["seq"], 10, 64)
			if err != nil {
				return files{}, fmt.Errorf("%s:%d: seq %q is no number", found[0], n+1, fields["seq"])
			}
			tails = append(tails, tail{seq, name})
		}
	}
	sorted.By(tails, func(a, b tail) int { return cmp.Compare(a.seq, b.seq) })
	for _, t := range tails {
		f.tail = append(f.tail, t.name)
	}
	return f, nil
}

// countFile counts the commands from an offset on.
func countFile(ctx context.Context, name string, offset int64, t *keyspace.Tail) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open append-only file: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c := commands{in: bufio.NewReaderSize(f, 1<<18), at: offset}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		from := c.at
		word, err := c.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: at byte %d: %w", name, from, err)
		}
		if word != "" {
			t.Add(word, uint64(c.at-from))
		}
	}
}

// commands reads an append-only file's commands and keeps nothing of them but
// the first word.
type commands struct {
	in *bufio.Reader
	at int64
}

var errCut = errors.New("the file ends here, in the middle of a command")

// next is the first word of the next command; empty: an annotation (#TS:…).
// io.EOF: there is none.
func (c *commands) next() (string, error) {
	n, ok, err := c.count('*')
	if err != nil || !ok {
		return "", err
	}
	word := ""
	for i := range n {
		length, ok, err := c.count('$')
		switch {
		case errors.Is(err, io.EOF) || err == nil && !ok:
			return "", errCut
		case err != nil:
			return "", err
		}
		if i == 0 && length <= 64 {
			b := make([]byte, length+2)
			m, err := io.ReadFull(c.in, b)
			c.at += int64(m)
			if err != nil {
				return "", errCut
			}
			word = strings.ToUpper(string(b[:length]))
			continue
		}
		m, err := discard(c.in, length+2)
		c.at += m
		if err != nil {
			return "", errCut
		}
	}
	return word, nil
}

// count reads "*3" or "$10"; ok is false for an annotation.
func (c *commands) count(kind byte) (n int64, ok bool, err error) {
	line, err := c.in.ReadSlice('\n')
	c.at += int64(len(line))
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return 0, false, io.EOF
	case err != nil:
		return 0, false, errCut
	case line[0] == '#' && kind == '*':
		return 0, false, nil
	case line[0] != kind:
		return 0, false, fmt.Errorf("%q is no command", line[:min(len(line), 20)])
	}
	n, err = strconv.ParseInt(strings.TrimRight(string(line[1:]), "\r\n"), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0, false, fmt.Errorf("%q is no count", line[:min(len(line), 20)])
	}
	return n, true, nil
}

// discard passes over n bytes, which may be more than an int of Discard's.
func discard(r *bufio.Reader, n int64) (int64, error) {
	var done int64
	for done < n {
		m, err := r.Discard(int(min(n-done, 1<<20)))
		done += int64(m)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
