package source

import (
	"context"
	"fmt"

	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// Settings are INFO and the named parameters of a server. What CONFIG GET may not
// say, or this server does not have, is not in config: that is no error.
func Settings(ctx context.Context, s Server, names []string) (facts, config map[string]string, err error) {
	client := s.client()
	defer client.Close()
	if facts, err = info(ctx, client); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	config = map[string]string{}
	for _, name := range names {
		said, err := client.Named(ctx, "CONFIG", "GET", name).Result()
		if err != nil {
			break // no right to: the others will not be told either
		}
		if v, ok := redisclient.Pairs(said)[name]; ok {
			config[name] = v
		}
	}
	return facts, config, nil
}
