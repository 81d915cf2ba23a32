package watched

import (
	"fmt"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

// ArmedFences is how many armed fences stand in a Redis: blocked clients of a
// watchdog's name. -1: it does not answer.
func ArmedFences(r *lab.Redis) int {
	list, err := r.Try("CLIENT", "LIST")
	if err != nil {
		return -1
	}
	n := 0
	for line := range strings.Lines(fmt.Sprint(list)) {
		for field := range strings.FieldsSeq(line) {
			flags, ok := strings.CutPrefix(field, "flags=")
			if ok && strings.Contains(flags, "b") && strings.Contains(line, " name=redis-watchdog ") {
				n++
			}
		}
	}
	return n
}
