// Package startgate makes a Redis start shut. A drop-in of its unit runs
// `redis-watchdog start-gate shut` before every start; that puts the values of a
// fence into its redis.conf, unless that makes it a replica of somebody. So a
// Redis that comes back after a crash, a reboot or an upgrade answers no client
// and wipes no replica before its watchdog, by the grant, has opened it.
package startgate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
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
	content, err := os.ReadFile(file)
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
		content, err := os.ReadFile(file)
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

// Shut makes the Redis of the file start shut, unless that makes it a replica:
// then it changes nothing and says of whom. The file is replaced as a whole or
// not at all; owner and mode stay. No Redis may be running on it.
func Shut(file string) (following string, err error) {
	file, content, err := read(file)
	if err != nil {
		return "", err
	}
	kept := without(content)
	s := scan{dir: filepath.Dir(file)}
	if err := s.lines(strings.Join(kept, "\n"), 0); err != nil {
		return "", err
	}
	if s.following != "" && !gate.IsNowhere(s.following) {
		return s.following, nil
	}
	kept = append(kept, "")
	kept = append(kept, comment...)
	kept = append(kept, gate.StartShut()...)
	return "", replace(file, content, kept)
}

// Undo takes out of the file what Shut has put there and no Redis has rewritten
// since.
func Undo(file string) error {
	file, content, err := read(file)
	if err != nil {
		return err
	}
	return replace(file, content, without(content))
}

func read(file string) (resolved, content string, err error) {
	if resolved, err = filepath.EvalSymlinks(file); err != nil {
		return "", "", fmt.Errorf("find redis.conf: %w", err)
	}
	text, err := os.ReadFile(resolved)
	if err != nil {
		return "", "", fmt.Errorf("read redis.conf: %w", err)
	}
	return resolved, string(text), nil
}

// without is the lines of a file without ours: the comment, wherever it has got
// to, and the fence's values where they follow it.
func without(content string) []string {
	lines := strings.Split(strings.TrimRight(content, "\n"), "\n")
	ours := gate.StartShut()
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

func replace(file, was string, lines []string) (err error) {
	content := strings.Join(lines, "\n") + "\n"
	if content == was {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("write redis.conf: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".redis-watchdog-*")
	if err != nil {
		return fmt.Errorf("write redis.conf: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write redis.conf: %w", err), os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(content)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && err == nil {
		err = f.Chown(int(stat.Uid), int(stat.Gid))
	}
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
