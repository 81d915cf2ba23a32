package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// phases are those a hook may be run at; "unknown" is the one before the first.
func phases() []string {
	return []string{"serve", "hold", "lock", "refuse", "follow", "down", "unknown"}
}

func (c *checker) checkHook(key string, h Hook) {
	for i, phase := range h.On {
		c.oneOf(fmt.Sprintf("%s.on[%d]", key, i), phase, phases()...)
	}
	command := key + ".command"
	switch {
	case c.broken(command):
	case len(h.Command) == 0:
		c.at(command, "the hook has no command", "write the program and its arguments as a list: [/usr/local/bin/tell-us, refuse]")
	case !filepath.IsAbs(h.Command[0]):
		c.at(command+"[0]", "is not an absolute path", "write where the program is; a line for a shell is [/bin/sh, -c, \"...\"]")
	case c.files:
		if info, err := os.Stat(h.Command[0]); err != nil {
			c.at(command+"[0]", "cannot be run: "+reason(err), "name a program that is there")
		} else if info.IsDir() || info.Mode()&0o111 == 0 {
			c.at(command+"[0]", "cannot be run: it is no program", "chmod +x "+h.Command[0])
		}
	}
	for i, word := range h.Command {
		if strings.Contains(word, "\x00") {
			c.at(fmt.Sprintf("%s[%d]", command, i), "has a zero byte in it", "take it out")
		}
	}
	if h.Timeout < 100*time.Millisecond || h.Timeout > 10*time.Minute {
		c.at(key+".timeout", "is not between 100ms and 10m0s", "the next hook waits for it: 10s is plenty")
	}
}
