// Command redistables records what a real server knows of its parameters: names
// and aliases, how each is read, its default. It starts the server some hundred
// times on files made for that, in a network namespace of its own, and writes
// preflight/redisconf/tables/PRODUCT-VERSION.txt. It needs root.
//
//	go run ./tools/redistables                 the redis-server of this machine
//	go run ./tools/redistables -suite bullseye
//	go run ./tools/redistables -suite trixie
//	go run ./tools/redistables -suite trixie -package valkey-server -binary /usr/bin/valkey-server
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/lab/booted"
)

func main() {
	suite := flag.String("suite", "", "Debian suite whose server is recorded; empty: this machine's")
	pkg := flag.String("package", "", "package the suite's root holds beside redis-server")
	binary := flag.String("binary", "/usr/bin/redis-server", "the server, as seen in that root")
	out := flag.String("out", "preflight/redisconf/tables", "directory to write to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := record(ctx, *suite, *pkg, *binary, *out); err != nil {
		fmt.Fprintln(os.Stderr, "redistables:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, suite, pkg, binary, out string) error {
	root := "/"
	if suite != "" {
		var packages []string
		if pkg != "" {
			packages = append(packages, pkg)
		}
		var err error
		if root, err = booted.Root(ctx, suite, packages...); err != nil {
			return err
		}
	}
	s := &server{root: root, binary: binary}
	table, err := s.table(ctx)
	if err != nil {
		return fmt.Errorf("record %s in %s: %w", binary, root, err)
	}
	name := filepath.Join(out, strings.ReplaceAll(table.build, " ", "-")+".txt")
	if err := os.WriteFile(name, []byte(table.String()), 0o644); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	fmt.Println(name, len(table.rows), "parameters")
	return nil
}
