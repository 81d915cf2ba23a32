package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// StreamOptions are those of an audit off a replication stream.
type StreamOptions struct {
	Options
	// Master allows a master to be asked. Its INFO then shows us as a replica
	// without a port, and every Sentinel keeps that as a replica ADDRESS:0 until
	// SENTINEL RESET (Redis 7.0.15, Valkey 9.1.2: createSentinelAddr takes port 0).
	Master bool
	// MaxCopied is how many bytes the fork may have copied before the audit is
	// given up; zero: a quarter of used_memory, and 64 MiB at least.
	MaxCopied uint64
}

var (
	errIsMaster = errors.New("is a master: an audit of it leaves a replica ADDRESS:0 in every Sentinel until SENTINEL RESET. Audit a replica, or give --master")
	errPromoted = errors.New("was promoted: the audit of a master leaves a ghost in every Sentinel, so it was ended")
	errLink     = errors.New("lost its link to the master: what it holds is no longer what the group holds")
)

// Stream audits a Redis by asking for its RDB as a replica would, with nothing
// on disk here; the server may write a file of its own where it does not stream
// (repl-diskless-sync no). It ends at once when the server turns master, when its
// own link breaks, or when the fork has copied too much.
func Stream(ctx context.Context, s Server, o StreamOptions) (keyspace.Audit, error) {
	client := s.client()
	defer client.Close()
	facts, err := info(ctx, client)
	if err != nil {
		return keyspace.Audit{}, fmt.Errorf("%s: %w", s.Address, err)
	}
	if err := streamable(facts, o.Master); err != nil {
		return keyspace.Audit{}, fmt.Errorf("%s: %w", s.Address, err)
	}
	how := learn(ctx, client, facts, &o.Options)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, err := s.dial(ctx)
	if err != nil {
		return keyspace.Audit{}, fmt.Errorf("%s: connect: %w", s.Address, err)
	}
	to := s.redis()
	to.MaxReply = 1 << 16
	greeter := redisclient.Over(conn, to)
	defer greeter.Close() // and with it the connection
	// Whatever ends the audit ends the read that waits.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	guarded := make(chan struct{})
	go func() {
		defer close(guarded)
		guard(ctx, client, facts, o, cancel)
	}()
	defer func() { <-guarded }()
	defer cancel(nil)

	stream, err := begin(ctx, conn, greeter, facts)
	if err != nil {
		return keyspace.Audit{}, fmt.Errorf("%s: %w", s.Address, because(ctx, client, facts, err))
	}
	audit, err := walk(ctx, s.Address, stream, stream.length, o.Options)
	audit.Classes = how
	if err == nil {
		err = stream.end()
	}
	audit.Source.Kind, audit.Source.Name, audit.Source.Run = "stream", s.Address, facts["run_id"]
	audit.Source.Replica = facts["role"] != "master"
	if audit.Source.Server == "" {
		audit.Source.Server = writer(facts)
	}
	if err != nil {
		err = because(ctx, client, facts, err)
		audit.Complete, audit.Incomplete = false, err.Error()
	}
	return audit, err
}

// because is why a stream broke off: the reason it was ended for; what the
// server has become meanwhile, for a Redis that changes its role closes the
// connections of its replicas; or else err.
func because(ctx context.Context, client *redisclient.Client, first map[string]string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	facts, asked := info(ctx, client)
	if asked != nil {
		return err
	}
	if changed := change(first, facts); changed != nil {
		return changed
	}
	return err
}

// change is what has happened to the server that an audit does not survive; nil:
// nothing.
func change(first, now map[string]string) error {
	switch {
	case now["run_id"] != first["run_id"]:
		return errors.New("was restarted")
	case now["role"] == "master" && first["role"] != "master":
		return errPromoted
	case now["role"] != "master" && now["master_link_status"] != "up":
		return errLink
	}
	return nil
}

// streamable is whether the server may be asked now.
func streamable(facts map[string]string, master bool) error {
	switch {
	case facts["redis_mode"] == "sentinel":
		return errors.New("is a Sentinel; name the port of a Redis")
	case facts["role"] == "master" && !master:
		return errIsMaster
	case facts["loading"] == "1":
		return errors.New("is loading its data; try again when it has")
	case facts["role"] == "slave" && facts["master_link_status"] != "up":
		return errors.New("has no link to its master, and gives its data to nobody then")
	}
	return nil
}

// guard looks once a second whether the audit may go on.
func guard(ctx context.Context, client *redisclient.Client, first map[string]string, o StreamOptions, end context.CancelCauseFunc) {
	most := o.MaxCopied
	if used, err := strconv.ParseUint(first["used_memory"], 10, 64); err == nil && most == 0 {
		most = max(used/4, 64<<20)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		facts, err := info(ctx, client)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			end(fmt.Errorf("the server does not answer beside the audit: %w", err))
			return
		}
		if changed := change(first, facts); changed != nil {
			end(changed)
			return
		}
		copied, err := strconv.ParseUint(facts["current_cow_size"], 10, 64) // not in 6.0
		if err != nil || most == 0 || copied <= most {
			continue
		}
		end(fmt.Errorf("the fork has copied %d bytes, more than %d: the server is written to too much for an audit now", copied, most))
		return
	}
}

// incoming is the RDB as it arrives.
type incoming struct {
	conn   net.Conn
	buf    *bufio.Reader
	mark   []byte // 40 bytes behind it; nil: its length is known
	length int64  // of the RDB; zero: not known
	left   int64
}

// silence is how long a stream may stand still. A fork is waited for with
// newlines, once a second (replication.c, replicationSendNewlineToMaster is its
// other side; repl-ping on this one).
const silence = 60 * time.Second

// begin does a replica's handshake as far as it must. What an older server does
// not know it answers with an error, which is no harm. All up to SYNC is asked by
// go-redis over conn. It then has nothing of what comes after: there is never more
// read than was asked for (redisclient), and a master sends a replica nothing before
// SYNC. What SYNC is answered is no reply, and is read off conn itself.
func begin(ctx context.Context, conn net.Conn, greeter *redisclient.Client, facts map[string]string) (*incoming, error) {
	ask := [][]string{{"REPLCONF", "capa", "eof"}, {"REPLCONF", "rdb-only", "1"}, {"REPLCONF", "rdb-no-compress", "1"}}
	if v := facts["valkey_version"]; v != "" {
		// Valkey 9 writes what the announced version can read, and RDB 11 to who
		// announces none; field TTLs make that fail.
		ask = append(ask, []string{"REPLCONF", "version", v})
	}
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	switch answers, err := greeter.Ask(within, ask...); {
	case err != nil:
		return nil, err
	case answers[0].Err != nil:
		return nil, fmt.Errorf("REPLCONF: %s", redisclient.WithoutWords(answers[0].Err.Error()))
	}
	if err := conn.SetWriteDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, fmt.Errorf("SYNC: %w", err)
	}
	if _, err := io.WriteString(conn, "*1\r\n$4\r\nSYNC\r\n"); err != nil {
		return nil, fmt.Errorf("SYNC: %w", err)
	}
	in := &incoming{conn: conn, buf: bufio.NewReaderSize(conn, 1<<16)}
	line := ""
	for line == "" { // newlines, while the fork is waited for
		var err error
		if line, err = in.line(); err != nil {
			return nil, fmt.Errorf("SYNC: %w", err)
		}
	}
	switch {
	case strings.HasPrefix(line, "$EOF:") && len(line) == len("$EOF:")+40:
		in.mark = []byte(line[len("$EOF:"):])
	case strings.HasPrefix(line, "$"):
		n, err := strconv.ParseInt(line[1:], 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("SYNC: %q announces no RDB", line)
		}
		in.length, in.left = n, n
	default:
		return nil, fmt.Errorf("SYNC: %s", strings.TrimPrefix(line, "-"))
	}
	return in, nil
}

// line is one line of the answer, of bounded length.
func (in *incoming) line() (string, error) {
	if err := in.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return "", err
	}
	line, err := in.buf.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// Read is of the RDB, and not beyond it where its length is known. Where it is
// not, the walk itself ends with the RDB; what it has read ahead is its mark.
func (in *incoming) Read(p []byte) (int, error) {
	if in.mark == nil {
		if in.left == 0 {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), in.left)]
	}
	if err := in.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	n, err := in.buf.Read(p)
	in.left -= int64(n)
	return n, err
}

// end looks at what must come behind the RDB. The CRC-64 inside it, where there
// is one, says that all of it came; a server that counts its length has sent
// just that much.
func (in *incoming) end() error {
	if in.mark == nil && in.left != 0 {
		return fmt.Errorf("the server announced %d bytes more than its RDB has", in.left)
	}
	return nil
}
