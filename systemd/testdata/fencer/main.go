// Command fencer stands in for the watchdog in the tests of package systemd: it
// does, under the shipped unit, what it is told over a socket, one line a
// request and one line an answer.
//
//	fencer run            serve, as the unit does
//	fencer ask WORD ...   send a request
//	fencer state          what there is of Redis' unit, as root
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/systemd/helper"
)

const (
	control = "/run/redis-watchdog/control"
	redis   = "127.0.0.1:6379"
	unit    = "redis-server.service"
)

func main() {
	err := errors.New("usage: fencer run | ask WORD ... | state")
	switch {
	case len(os.Args) > 1 && os.Args[1] == "run":
		err = run()
	case len(os.Args) > 2 && os.Args[1] == "ask":
		err = ask(strings.Join(os.Args[2:], " "))
	case len(os.Args) > 1 && os.Args[1] == "state":
		var s systemd.UnitState
		s, err = systemd.NewUnits(hclog.Default()).State(context.Background(), unit)
		fmt.Printf("%+v\n", s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(request string) error {
	conn, err := net.Dial("unix", control)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(conn, request)
	answer, err := io.ReadAll(conn)
	if s, bad := strings.CutPrefix(string(answer), "error: "); bad {
		return errors.New(s)
	}
	fmt.Print(string(answer))
	return err
}

type fencer struct {
	notifier *systemd.Notifier
	store    *systemd.Store
	redis    *helper.Redis
	adopted  map[string][]*os.File
	armed    []net.Conn
}

func run() error {
	n, err := systemd.OpenNotifier()
	if err != nil {
		return err
	}
	f := &fencer{notifier: n, store: systemd.OpenStore(n), redis: helper.New(helper.Path).Redis("first", unit)}
	f.adopted = f.store.Adopted()
	os.Remove(control)
	l, err := net.Listen("unix", control)
	if err != nil {
		return err
	}
	if err := n.Ready("standing by"); err != nil {
		return err
	}
	go func() { // ends with the process
		for range time.Tick(n.WatchdogInterval() / 3) {
			_ = n.Alive()
		}
	}()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		answer, err := f.do(strings.Fields(line))
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Fprintln(conn, answer)
		conn.Close()
	}
}

func (f *fencer) do(request []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	switch request[0] {
	case "probe":
		kept, err := f.store.Probe(ctx)
		return strconv.FormatBool(kept), err
	case "adopted":
		var names []string
		for name, files := range f.adopted {
			names = append(names, fmt.Sprintf("%s=%d", name, len(files)))
		}
		slices.Sort(names)
		return strings.Join(names, " "), nil
	case "arm":
		return "armed", f.arm(ctx, request[1], request[2])
	case "remove":
		return "removed", errors.Join(f.store.Remove(request[1]), f.store.Barrier(ctx))
	case "prepare":
		pid, err := process()
		if err != nil {
			return "", err
		}
		return "prepared", f.redis.Prepare(ctx, systemd.Claim{PID: pid})
	case "kill":
		pid, err := process()
		if err != nil {
			return "", err
		}
		begun := time.Now()
		err = f.redis.Kill(ctx, pid, "")
		return time.Since(begun).String(), err
	case "kill-other", "start-other":
		other := helper.New(helper.Path).Redis("other", request[1])
		if request[0] == "start-other" {
			return "started", other.Restore(ctx)
		}
		pid, err := strconv.Atoi(request[2])
		if err != nil {
			return "", err
		}
		return "killed", other.Kill(ctx, pid, "")
	case "command":
		pid, err := strconv.Atoi(request[1])
		if err != nil {
			return "", err
		}
		words, err := helper.New(helper.Path).CommandLine(ctx, pid)
		return strings.Join(words, " "), err
	case "restore":
		return "restored", f.redis.Restore(ctx)
	case "exit":
		code, err := strconv.Atoi(request[1])
		if err == nil {
			os.Exit(code)
		}
		return "", err
	}
	return "", fmt.Errorf("unknown request %q", request)
}

// process is what Redis says of its process.
func process() (pid int, err error) {
	conn, err := net.Dial("tcp", redis)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	info, err := command(conn, "INFO server")
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(info, "process_id:")
	number, _, _ := strings.Cut(after, "\r\n")
	return strconv.Atoi(number)
}

// arm arms a fence that fires in ms milliseconds, as package fencing does, and
// has it kept under name.
func (f *fencer) arm(ctx context.Context, name, ms string) error {
	conn, err := net.Dial("tcp", redis)
	if err != nil {
		return err
	}
	id, err := command(conn, "CLIENT ID")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "XREAD BLOCK %s STREAMS rw:none $\r\n", ms); err != nil {
		return err
	}
	other, err := net.Dial("tcp", redis)
	if err != nil {
		return err
	}
	defer other.Close()
	for blocked := false; !blocked; {
		// Not CLIENT LIST ID: Redis 6.0 has none.
		list, err := command(other, "CLIENT LIST")
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("XREAD does not block: %s", list)
		}
		for line := range strings.Lines(list) {
			if strings.HasPrefix(line, "id="+strings.TrimPrefix(id, ":")+" ") {
				blocked = strings.Contains(line, "flags=b")
			}
		}
	}
	const fence = "MULTI\r\nCONFIG SET replica-serve-stale-data no\r\nCONFIG SET replica-priority 0\r\n" +
		"REPLICAOF 127.0.0.1 0\r\nCLIENT KILL TYPE normal SKIPME yes\r\nEXEC\r\n"
	if _, err := io.WriteString(conn, fence); err != nil {
		return err
	}
	f.armed = append(f.armed, conn)
	if err := f.store.StoreConn(name, conn.(*net.TCPConn)); err != nil {
		return err
	}
	return f.store.Barrier(ctx)
}

// command sends a command and returns its answer, the text of a bulk string.
func command(conn net.Conn, line string) (string, error) {
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	answer, err := r.ReadString('\n')
	if err != nil || answer[0] != '$' {
		return strings.TrimSpace(answer), err
	}
	size, err := strconv.Atoi(strings.TrimSpace(answer[1:]))
	if err != nil {
		return "", err
	}
	bulk := make([]byte, size+len("\r\n"))
	_, err = io.ReadFull(r, bulk)
	return string(bulk[:size]), err
}
