// Command redis-watchdog-helper kills a Redis that cannot be seen to refuse its
// clients, for the watchdog beside it, which has no right to: see package
// helper. Systemd starts it by its socket. Its arguments are what else than
// redis-server and valkey-server the program of a Redis may be called.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/internal/memory"
	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/systemd/helper"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, DisableTime: os.Getenv("JOURNAL_STREAM") != ""})
	if err := run(ctx, os.Args[1:], log); err != nil {
		log.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, log hclog.Logger) (err error) {
	passed := systemd.Passed()
	if len(passed) != 1 {
		return fmt.Errorf("started with %d sockets, not one: redis-watchdog-helper.socket starts it", len(passed))
	}
	l, err := net.FileListener(passed[0])
	if err := errors.Join(err, passed[0].Close()); err != nil {
		return fmt.Errorf("take over the socket: %w", err)
	}
	var thrift memory.Thrift
	failing := false
	idle := func() {
		_, err := thrift.Turn()
		if err != nil && !failing {
			log.Warn("own memory not given back or not locked", "error", err)
		}
		failing = err != nil
	}
	memory.Small(1)
	s := helper.NewServer(systemd.NewUnits(log.Named("systemd")), append([]string{"redis-server", "valkey-server"}, names...), idle, log)
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Serve(ctx, l); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
		return err
	}
	return nil
}
