// Package startgate makes a Redis start shut. A drop-in of its unit runs
// `redis-watchdog start-gate shut` before every start; that puts the values of a
// fence into its redis.conf, unless that makes it a replica of somebody. So a
// Redis that comes back after a crash, a reboot or an upgrade answers no client
// and wipes no replica before its watchdog, by the grant, has opened it.
package startgate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
	"github.com/redis-watchdog/redis-watchdog/systemd/trusted"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// comment stands above the lines of ours. A CONFIG REWRITE takes those away
// when Redis is opened, and leaves the comment: it must be true then as well.
var comment = []string{
	"# redis-watchdog, start gate: before every start of this Redis, unless its file",
	"# makes it a replica, the values of a fence are put here, and its watchdog takes",
	"# them away when it opens it. To have that no more: redis-watchdog start-gate off",
}

const maxIncludes = 50 // of one file in another: Redis itself goes on until it crashes

// Following is whom a Redis that is started on the file follows: "host port",
// empty when it comes up as a master. A file that cannot be read is an error.
func Following(file string) (string, error) {
	content, err := contentOf(file)
	if err != nil {
		return "", fmt.Errorf("read redis.conf: %w", err)
	}
	s := scan{dir: filepath.Dir(file)}
	if err := s.lines(string(content), 0); err != nil {
		return "", err
	}
	return s.following, nil
}

// scan reads what a start gate has to know, as Redis does: the last line wins,
// an include counts where it stands, and "dir" moves what is relative. A build
// whose other lines we do not know is no reason to start it open.
type scan struct {
	dir       string
	following string
}

func (s *scan) lines(text string, depth int) error {
	if depth > maxIncludes {
		return errors.New("read redis.conf: it includes itself")
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		words, ok := redisconf.Split(line)
		if !ok || len(words) < 2 || strings.HasPrefix(line, "#") {
			continue
		}
		switch strings.ToLower(words[0]) {
		case "replicaof", "slaveof":
			s.following = strings.Join(words[1:], " ")
			if strings.EqualFold(s.following, "no one") {
				s.following = ""
			}
		case "dir":
			s.dir = s.absolute(words[1])
		case "include":
			if err := s.include(s.absolute(words[1]), depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scan) absolute(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir, name)
}

func (s *scan) include(pattern string, depth int) error {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		files = []string{pattern}
	}
	for _, file := range files {
		content, err := contentOf(file)
		if errors.Is(err, fs.ErrNotExist) && file == pattern && strings.ContainsAny(pattern, "*?[") {
			continue // a pattern that fits nothing is nothing to Redis 7.0
		}
		if err != nil {
			return fmt.Errorf("read what redis.conf includes: %w", err)
		}
		if err := s.lines(string(content), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// StartFenced makes the Redis of the file start shut, unless that makes it a replica:
// then it changes nothing and says of whom. The file is replaced as a whole or
// not at all; owner and mode stay. No Redis may be running on it.
//
// It is for root, in a directory where Redis may write: what Redis' user may have
// put in the place of redis.conf is read and replaced, as CONFIG REWRITE does it.
// Nothing is written anywhere else, and the new file is as closed as what was
// read.
func StartFenced(file string) (following string, err error) {
	err = edit(file, func(content string) ([]string, error) {
		kept := without(content)
		s := scan{dir: filepath.Dir(file)}
		if err := s.lines(strings.Join(kept, "\n"), 0); err != nil {
			return nil, err
		}
		if s.following != "" && !watchdog.IsNowhere(s.following) {
			following = s.following
			return nil, nil
		}
		kept = append(kept, "")
		kept = append(kept, comment...)
		return append(kept, gate.StartFencedLines()...), nil
	})
	return following, err
}

// Undo takes out of the file what StartFenced has put there and no Redis has rewritten
// since.
func Undo(file string) error {
	return edit(file, func(content string) ([]string, error) { return without(content), nil })
}

// Reachable is why StartFenced could not get at the file; nil: it can.
func Reachable(file string) error {
	return edit(file, func(string) ([]string, error) { return nil, nil })
}

// edit replaces a file by what change makes of it; no lines: it stays.
func edit(file string, change func(content string) ([]string, error)) error {
	p, err := trusted.Find(file)
	if err != nil {
		return fmt.Errorf("find redis.conf: %w", err)
	}
	defer func() { _ = p.Close() }() // a directory that was only read
	was, stat, err := p.Read()
	if err != nil {
		return fmt.Errorf("read redis.conf: %w", err)
	}
	lines, err := change(string(was))
	if content := strings.Join(lines, "\n") + "\n"; err == nil && lines != nil && content != string(was) {
		if err = p.Replace([]byte(content), stat); err != nil {
			err = fmt.Errorf("write redis.conf: %w", err)
		}
	}
	return err
}

// contentOf reads a file that Redis' user may have named or laid: a pipe or a
// device would hold root up.
func contentOf(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, nil // an include of one is empty to Redis
	case !info.Mode().IsRegular() && file != os.DevNull || info.Size() > trusted.MaxFile:
		return nil, fmt.Errorf("%s is no redis.conf: %s, %d bytes", file, info.Mode().Type(), info.Size())
	}
	return io.ReadAll(io.LimitReader(f, trusted.MaxFile))
}

// without is the lines of a file without ours: the comment, wherever it has got
// to, and the fence's values where they follow it.
func without(content string) []string {
	lines := strings.Split(strings.TrimRight(content, "\n"), "\n")
	ours := gate.StartFencedLines()
	var kept []string
	below := false // the comment stands just above
	for _, line := range lines {
		switch {
		case slices.Contains(comment, line):
			below = true
			if len(kept) > 0 && kept[len(kept)-1] == "" && line == comment[0] {
				kept = kept[:len(kept)-1]
			}
		case below && slices.Contains(ours, line):
		default:
			below = false
			kept = append(kept, line)
		}
	}
	return kept
}
