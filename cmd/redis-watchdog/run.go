package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/daemon"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "watch over every Redis of this host",
		Long: "Stands beside every Redis that the configuration names, until it gets SIGTERM or SIGINT. " +
			"At SIGHUP it reads the configuration again: a good one is taken over without a gap in protection, of a bad one nothing is.\n\n" +
			"A stop fences nobody, and leaves the Redis unguarded. To upgrade, restart the service; never stop and start it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			asked := make(chan os.Signal, 1) // from the first moment on: it would end us else
			signal.Notify(asked, syscall.SIGHUP)
			defer signal.Stop(asked)
			cfg, err := a.load()
			if err != nil {
				return err
			}
			log := a.logger(cfg.Log)
			if err := daemon.CheckTiming(c.Context(), cfg, log); err != nil {
				return err
			}
			d, err := daemon.New(cfg, log, version)
			if err != nil {
				return unknown("start: %w", err)
			}
			err = d.Run(c.Context(), daemon.Reload{
				Asked: asked, Load: func() (*config.Config, error) { return config.Load(a.configPath, a.env) },
			})
			if e := d.Close(); e != nil {
				err = errors.Join(err, e)
			}
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return unknown("run: %w", err)
		},
	}
}

func (a *app) logger(l config.Log) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "redis-watchdog", Level: hclog.LevelFromString(l.Level),
		JSONFormat: l.Format == "json", Output: a.errOut,
	})
}
