package helper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/systemd"
)

const (
	// maxAtOnce is how many are served at the same time; more are turned away.
	maxAtOnce = 64
	// lineTimeout is how long a caller may take to say what it wants, and to
	// take the answer.
	lineTimeout = 2 * time.Second
	// maxRedis is how many are kept prepared: more than any host runs.
	maxRedis = 1024
	// resumeTimeout bounds what is done at the start for all units.
	resumeTimeout = 20 * time.Second
)

// ErrRefused is a request that a helper does not do for anybody.
var ErrRefused = errors.New("refused")

// unitName is what may become part of a path. Systemd's own rule, without "/".
var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.service$`)

// Server does what the watchdog of this host asks for. Make one by NewServer.
type Server struct {
	units *systemd.Units
	names []string // what the program of a Redis may be called
	log   hclog.Logger
	idle  func() // called when nothing is left to do, by one at a time; nil: nothing is

	mu     sync.Mutex
	redis  map[string]*systemd.Redis // by what the caller calls them, and their unit
	known  map[string]bool           // units that were seen to run a Redis, or to carry the start block
	asking int

	resting sync.Mutex // idle is running
}

// NewServer makes the Server that controls units and kills processes of these
// names only. idle, if not nil, is called after a request when no other is under
// way.
func NewServer(units *systemd.Units, names []string, idle func(), log hclog.Logger) *Server {
	return &Server{units: units, names: names, idle: idle, log: log, redis: make(map[string]*systemd.Redis), known: make(map[string]bool)}
}

// Serve answers until ctx ends, and then waits for what is under way. It closes
// l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var under sync.WaitGroup
	defer under.Wait()
	under.Go(func() { s.resume(ctx) })
	slots := make(chan struct{}, maxAtOnce)
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		select {
		case slots <- struct{}{}:
			under.Go(func() {
				defer func() { <-slots }()
				s.serve(conn)
			})
		default:
			_ = conn.Close()
			s.log.Warn("a caller was turned away", "served_at_once", maxAtOnce)
		}
	}
}

// resume prepares what a helper before this one had prepared: a kill may be due
// before the watchdog asks again.
func (s *Server) resume(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	s.count(1)
	defer s.count(-1)
	units, err := s.units.Carrying()
	for _, unit := range units {
		err = errors.Join(err, s.units.Prepare(ctx, unit))
		s.setKnown(unit)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("a unit that carries the start block is not prepared", "error", err)
	}
	if err == nil && len(units) != 0 {
		s.log.Info("what was prepared before is prepared again", "units", strings.Join(units, " "))
	}
}

// serve does one request. Its caller's end does not end it: a kill that was
// decided is a kill.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	s.count(1)
	defer s.count(-1)
	var r request
	_ = conn.SetDeadline(time.Now().Add(lineTimeout))
	line, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		s.log.Warn("request not understood", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(max(r.Within, 0), maxWithin))
	defer cancel()
	var a answer
	if a.Text, err = s.do(ctx, r); err != nil {
		a.Error = err.Error()
	}
	s.note(r, err)
	line, err = json.Marshal(a)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(lineTimeout))
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		s.log.Warn("answer not taken", "op", r.Op, "redis", r.Redis, "error", err)
	}
}

// count counts the requests under way.
func (s *Server) count(change int) {
	s.mu.Lock()
	s.asking += change
	quiet := s.asking == 0
	s.mu.Unlock()
	if quiet && s.idle != nil && s.resting.TryLock() {
		s.idle()
		s.resting.Unlock()
	}
}

// note logs what changes something; the rest is the caller's to complain of.
func (s *Server) note(r request, err error) {
	if r.Op != opKill && r.Op != opRestore && !errors.Is(err, ErrRefused) {
		return
	}
	log := s.log.Info
	if err != nil {
		log = s.log.Error
	}
	log("asked", "op", r.Op, "redis", r.Redis, "unit", r.Unit, "pid", r.PID, "error", err)
}

func (s *Server) do(ctx context.Context, r request) (string, error) {
	if r.Unit != "" && !unitName.MatchString(r.Unit) {
		return "", fmt.Errorf("%w: %q is no service unit", ErrRefused, r.Unit)
	}
	switch r.Op {
	case opSupervision:
		return s.supervision(ctx, r.Unit)
	case opCommand:
		return s.commandLine(ctx, r.PID)
	case opPrepare, opKill:
		if err := s.mayKill(ctx, r); err != nil {
			return "", err
		}
	case opStartBlock:
	case opRestore:
		if err := s.mayStart(ctx, r.Unit); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("%w: %q is nothing that can be asked", ErrRefused, r.Op)
	}
	redis, err := s.of(r)
	if err != nil {
		return "", err
	}
	switch r.Op {
	case opPrepare:
		return "", redis.Prepare(ctx, systemd.Claim{PID: r.PID, Uptime: r.Uptime, Executable: r.Executable})
	case opKill:
		return "", redis.Kill(ctx, r.PID, "")
	case opStartBlock:
		return redis.StartBlock(ctx)
	}
	return "", redis.Restore(ctx)
}

// of is the Redis that is meant, with what was prepared for it.
func (s *Server) of(r request) (*systemd.Redis, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Redis + "\x00" + r.Unit
	if s.redis[key] == nil {
		if len(s.redis) >= maxRedis {
			return nil, fmt.Errorf("%w: %d Redis are known already", ErrRefused, maxRedis)
		}
		s.redis[key] = systemd.NewRedis(s.units, r.Unit)
	}
	return s.redis[key], nil
}

// mayKill says that it is a Redis. The kernel says what a process is called and
// to which unit it belongs; the service manager, which may be hanging just when
// a kill is due, is asked for an alias only.
func (s *Server) mayKill(ctx context.Context, r request) error {
	if name := filepath.Base(r.Executable); r.Executable != "" && !slices.Contains(s.names, name) {
		return s.notOurs(name)
	}
	if r.Unit == "" {
		return nil // whoever opens the process looks at its name: r.Executable, or a Redis' own
	}
	if s.isKnown(r.Unit) {
		return nil
	}
	unit, err := s.runsRedis(r.PID)
	if err != nil {
		return err
	}
	if unit != r.Unit {
		service, err := s.units.Service(ctx, r.Unit)
		if err != nil {
			return err
		}
		if service.ID != unit {
			return fmt.Errorf("%w: process %d is of unit %s, not of %s", ErrRefused, r.PID, unit, r.Unit)
		}
	}
	// A unit that runs more than this Redis is not killed, but the process is
	// (systemd.Redis); nor may it be started on somebody's word.
	if _, err := systemd.Alone(r.PID); err == nil {
		s.setKnown(r.Unit)
	}
	return nil
}

func (s *Server) notOurs(name string) error {
	return fmt.Errorf("%w: the helper kills what is called %s, and not %q (arguments in redis-watchdog-helper.service)", ErrRefused, strings.Join(s.names, " or "), name)
}

// runsRedis is the unit of a process that is called like a Redis.
func (s *Server) runsRedis(pid int) (unit string, err error) {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	called := strings.TrimSpace(string(name))
	if !slices.ContainsFunc(s.names, func(n string) bool { return n[:min(len(n), commLength)] == called }) {
		return "", s.notOurs(called)
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	return systemd.UnitOf(string(text)), nil
}

const commLength = 15 // of a name, what the kernel keeps

func (s *Server) commandLine(ctx context.Context, pid int) (string, error) {
	if _, err := s.runsRedis(pid); err != nil {
		return "", err
	}
	words, err := s.units.CommandLine(ctx, pid)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(words)
	return string(text), err
}

func (s *Server) supervision(ctx context.Context, unit string) (string, error) {
	it, err := s.units.Supervision(ctx, unit)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(it)
	return string(text), err
}

// mayStart says that the unit is one that we have killed, or could have.
func (s *Server) mayStart(ctx context.Context, unit string) error {
	if s.isKnown(unit) {
		return nil
	}
	state, err := s.units.State(ctx, unit)
	if err != nil {
		return err
	}
	if !state.BlockLoaded {
		return fmt.Errorf("%w: unit %s does not carry the start block", ErrRefused, unit)
	}
	s.setKnown(unit)
	return nil
}

func (s *Server) isKnown(unit string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[unit]
}

func (s *Server) setKnown(unit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[unit] = true
}

// Close lets go of every process; call it when Serve has returned.
func (s *Server) Close() error {
	var errs []error
	for _, one := range s.redis {
		errs = append(errs, one.Close())
	}
	return errors.Join(append(errs, s.units.Close())...)
}
