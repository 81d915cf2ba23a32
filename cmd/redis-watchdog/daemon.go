package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/web"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	daemonTimeout = 2 * time.Second
	maxStatus     = 16 << 20 // bytes; whoever listens on our port need not be a watchdog
)

// localStatus asks the watchdog of this host: on its socket, which needs no
// password, and where that cannot be had on the address it listens on.
func localStatus(ctx context.Context, c *config.Config) ([]agent.Status, error) {
	socket := filepath.Join(c.RuntimeDir, web.SocketName)
	nodes, err := askStatus(ctx, "unix", socket)
	if err == nil || c.HTTP.WebConfigFile != "" {
		return nodes, explainSocket(err, socket)
	}
	nodes, overTCP := askStatus(ctx, "tcp", dialable(c.HTTP.Listen))
	if overTCP == nil {
		return nodes, nil
	}
	return nil, fmt.Errorf("%w; nor on %s: %w; see systemctl status redis-watchdog", explainSocket(err, socket), c.HTTP.Listen, overTCP)
}

func explainSocket(err error, socket string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("ask the watchdog of this host: no right to use %s; try sudo", socket)
	}
	return fmt.Errorf("ask the watchdog of this host: %w", err)
}

// dialable is where a listener on every address is found.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

func askStatus(ctx context.Context, network, address string) ([]agent.Status, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		DisableKeepAlives: true,
	}
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://watchdog/status", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		// The URL in it is made up.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answer of %s: %s", address, response.Status)
	}
	var nodes []agent.Status
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, maxStatus)).Decode(&nodes); err != nil {
		return nil, fmt.Errorf("answer of %s is not a watchdog's: %w", address, err)
	}
	return nodes, nil
}
