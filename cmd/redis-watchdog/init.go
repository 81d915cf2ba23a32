package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/discover"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// initTimeout bounds all that is asked on this host.
const initTimeout = 20 * time.Second

// sentinelRights are what the watchdog's user needs at a Sentinel, as
// docs/install.md has them; failover and set are for `redis-watchdog failover`.
const sentinelRights = "-@all &* +ping +info +subscribe +client|setname +sentinel|get-master-addr-by-name +sentinel|master" +
	" +sentinel|replicas +sentinel|sentinels +sentinel|myid +sentinel|ckquorum +sentinel|failover +sentinel|set"

// initDropIn is what a purge of the package takes away with the rest of the
// directory.
const initDropIn = "/etc/systemd/system/redis-watchdog.service.d/init.conf"

type initOptions struct {
	etcd   []string
	dryRun bool
}

func (a *app) initCommand() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init [--etcd URL,…] [--dry-run]",
		Short: "find the Redis and the Sentinels of this host and write the configuration",
		Long: "init looks at the processes of this host and at their files, asks a local etcd for its members, and writes the configuration.\n" +
			"It changes nothing in Redis, Sentinel or etcd, starts nothing, and never overwrites a file. Run it as root.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.init(c.Context(), o) },
	}
	c.Flags().StringSliceVar(&o.etcd, "etcd", nil, "the members of etcd (http://HOST:2379); left out: those a member on this host names")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the configuration and write nothing")
	return c
}

func (a *app) init(ctx context.Context, o initOptions) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	if _, err := os.Lstat(a.configPath); err == nil && !o.dryRun {
		return blocked("%s is there already and is not overwritten; --dry-run prints what init would write", a.configPath)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unknown("look for a configuration: %w", err)
	}
	say := func(notes []string) {
		p := terminal.New(a.errOut, a.env("NO_COLOR"))
		for _, note := range notes {
			p.Line(terminal.Plain, "note: %s", note)
		}
	}
	host, err := discover.Find(ctx)
	if host != nil {
		say(host.Notes)
	}
	if err != nil {
		return unknown("%w", err)
	}
	if len(o.etcd) == 0 {
		var notes []string
		o.etcd, notes, err = discover.Etcd(ctx)
		say(notes)
		if err != nil {
			return unknown("%w", err)
		}
	}
	text := host.YAML(o.etcd)
	written, err := config.CheckText(a.configPath, []byte(text), a.env)
	if err != nil {
		return err
	}
	notes, wrong := reach(ctx, written)
	say(notes)
	p := a.printer()
	if o.dryRun {
		for line := range strings.Lines(text) {
			p.Line(terminal.Plain, "%s", strings.TrimRight(line, "\n"))
		}
	}
	switch {
	case wrong != nil && o.dryRun:
		return unknown("%w", wrong)
	case wrong != nil:
		return unknown("nothing is written; --dry-run prints it, to be corrected: %w", wrong)
	case o.dryRun:
		return nil
	}
	// The passwords first: a configuration that is there is complete.
	secrets, err := a.passwords(host)
	if err != nil {
		return err
	}
	mode, gid := fs.FileMode(0o644), -1
	if host.Renamed() { // the new names are there to be known to few
		mode, gid = secretMode()
	}
	if err := writeNew(a.configPath, text, mode, gid); err != nil {
		return unknown("write configuration: %w", err)
	}
	if _, err := a.load(); err != nil {
		return err
	}
	p.Line(terminal.Green, "written: %s", a.configPath)
	a.next(host, secrets)
	return nil
}

// passwords makes those that are needed and not there yet; a digest of each is
// what ACL SETUSER is given, so that no password comes into a terminal or an
// argument list.
func (a *app) passwords(h *discover.Host) (digests map[string]string, err error) {
	digests = map[string]string{}
	need := map[string]bool{}
	for _, g := range h.Groups {
		need[discover.SentinelPassword] = need[discover.SentinelPassword] || g.Password
		for _, r := range g.Nodes {
			need[discover.RedisPassword] = need[discover.RedisPassword] || r.Password
		}
	}
	if err := os.MkdirAll(filepath.Dir(a.configPath), 0o755); err != nil {
		return nil, unknown("make directory of the configuration: %w", err)
	}
	for name, needed := range need {
		if !needed {
			continue
		}
		path := filepath.Join(filepath.Dir(a.configPath), name)
		mode, gid := secretMode()
		if err := writeNew(path, rand.Text()+"\n", mode, gid); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, unknown("write password: %w", err)
		}
		secret, err := os.ReadFile(path)
		if err != nil {
			return nil, unknown("read password: %w", err)
		}
		sum := sha256.Sum256([]byte(strings.TrimRight(string(secret), "\r\n")))
		digests[name] = hex.EncodeToString(sum[:])
	}
	return digests, nil
}

// secretMode is that of a file that the service may read, and few others.
func secretMode() (mode fs.FileMode, gid int) {
	if group, ok := discover.ServiceGroup(); ok {
		return 0o640, group
	}
	return 0o600, -1
}

// next says what a person has to do.
func (a *app) next(h *discover.Host, digests map[string]string) {
	p := a.printer()
	if digest := digests[discover.RedisPassword]; digest != "" {
		p.Line(terminal.Plain, "\nin each Redis of the group, by its own administrator (Redis 6.0: without resetchannels and +failover):")
		p.Line(terminal.Plain, "  ACL SETUSER %s on #%s %s %s", discover.User, digest, gate.ACLRule, gather.ReadRights)
		p.Line(terminal.Plain, "  CONFIG REWRITE   # or ACL SAVE, where users are in an aclfile")
		p.Line(terminal.Plain, "and the file %s on every host: the digest is that of its password", filepath.Join(filepath.Dir(a.configPath), discover.RedisPassword))
	}
	if digest := digests[discover.SentinelPassword]; digest != "" {
		p.Line(terminal.Plain, "\nin each Sentinel:")
		p.Line(terminal.Plain, "  ACL SETUSER %s on #%s %s", discover.User, digest, sentinelRights)
		p.Line(terminal.Plain, "  SENTINEL FLUSHCONFIG")
	}
	p.Line(terminal.Plain, "\nin etcd, if it has users (then username and password_file in the configuration too):")
	for _, line := range []string{"role add %s", "role grant-permission %s readwrite --prefix=true /redis-watchdog/v1/", "user add %s", "user grant-role %[1]s %[1]s"} {
		p.Line(terminal.Plain, "  etcdctl "+line, discover.User)
	}
	groups, unreadable := h.ReadingGroups()
	if len(groups) > 0 {
		p.Line(terminal.Plain, "\nso that the service may read redis.conf, which not everybody may:")
		p.Line(terminal.Plain, "  mkdir -p %s", filepath.Dir(initDropIn))
		p.Line(terminal.Plain, "  printf '[Service]\\nSupplementaryGroups=%s\\n' >%s", strings.Join(groups, " "), initDropIn)
		p.Line(terminal.Plain, "  systemctl daemon-reload")
	}
	for _, file := range unreadable {
		p.Line(terminal.Plain, "\n%s can be read by its owner, or by root, only: chgrp and chmod g+r it, and add its group to SupplementaryGroups= of the service, or its drift cannot be judged", file)
	}
	p.Line(terminal.Plain, "\nthen: redis-watchdog check-config && systemctl enable --now redis-watchdog   # on the replicas' hosts first")
	for _, g := range h.Groups {
		p.Line(terminal.Plain, "and:  redis-watchdog preflight %s", g.Name)
	}
}

// writeNew writes a file that is not there, whole or not at all; gid is its
// group, -1 our own.
func writeNew(path, text string, mode fs.FileMode, gid int) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".redis-watchdog-*")
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err == nil && gid >= 0 {
		err = f.Chown(-1, gid)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return os.Link(f.Name(), path) // fails where there is one
}
