// Command redis-watchdog stands beside the Redis of a Sentinel-managed group
// and lets at most one of them accept writes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set when it is built: -ldflags "-X main.version=1.2.3".
var version = "devel"

func main() {
	// run stops in order at the first signal; a second one ends it at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, newApp(), os.Args[1:]))
}
