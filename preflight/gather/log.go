package gather

// Redis' log, from its end.

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

const (
	logTail     = 64 << 10 // bytes that are read
	logWarnings = 20
	logWidth    = 300 // bytes of one line that are kept
)

// warningLine is a warning as Redis writes it (server.c, serverLogRaw): pid,
// role, time, and '#' for LL_WARNING. Redis 8 can write "warning" in its place
// (log-format logfmt is Valkey's, and not read).
var warningLine = regexp.MustCompile(`^\d+:[A-Z] (\d{1,2} \w{3} \d{4} \d{2}:\d{2}:\d{2}\.\d{3}) # (.*)$`)

// tail is the last n bytes of a file, from the first whole line on. A file that
// is nothing of the kind (a directory, a pipe) is an error.
func tail(f *os.File, n int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", f.Name())
	}
	from := max(info.Size()-n, 0)
	text, err := io.ReadAll(io.NewSectionReader(f, from, n))
	if err != nil {
		return nil, err
	}
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, nil
}

// warnings are the last of them, oldest first. Times are as Redis wrote them,
// in the time zone of this process.
func warnings(text string) (all []preflight.LogLine) {
	for line := range strings.Lines(text) {
		m := warningLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		at, err := time.ParseInLocation("2 Jan 2006 15:04:05.000", m[1], time.Local)
		if err != nil {
			continue
		}
		said := m[2]
		if len(said) > logWidth {
			said = strings.ToValidUTF8(said[:logWidth], "") + " …"
		}
		all = append(all, preflight.LogLine{At: at, Text: said})
		if len(all) > logWarnings {
			all = all[1:]
		}
	}
	return all
}
