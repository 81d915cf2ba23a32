package daemon

import (
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/sentinel"
)

// pacer has the Sentinels of a group polled as often as the most urgent of its
// local Redis needs.
type pacer struct {
	watcher *sentinel.Watcher

	mu    sync.Mutex
	wants map[string]time.Duration
}

func (p *pacer) pace(node string, poll time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wants == nil {
		p.wants = map[string]time.Duration{}
	}
	p.wants[node] = poll
	least := poll
	for _, d := range p.wants {
		least = min(least, d)
	}
	p.watcher.SetPollEvery(least)
}
