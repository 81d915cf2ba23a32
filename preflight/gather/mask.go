package gather

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// Secret is whether a parameter's value is never shown: only whether there is
// one.
func Secret(parameter string) bool {
	switch strings.ToLower(parameter) {
	case "requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass":
		return true
	}
	return false
}

// masked is a copy without secrets.
func masked(config map[string]string) map[string]string {
	out := make(map[string]string, len(config))
	for name, value := range config {
		if value != "" && Secret(name) {
			value = preflight.Masked
		}
		out[name] = value
	}
	return out
}

// users reads ACL LIST.
func users(list []any, key string) []preflight.User {
	all := make([]preflight.User, 0, len(list))
	for _, e := range list {
		if u, ok := user(redisclient.Text(e), key); ok {
			all = append(all, u)
		}
	}
	sorted.By(all, func(a, b preflight.User) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// user reads "user NAME RULES": the hashes of its passwords ("#…") become their
// count, where the first of them stands, and a digest.
func user(line, key string) (u preflight.User, ok bool) {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "user" {
		return u, false
	}
	u.Name = words[1]
	var hashes, rules []string
	at := -1
	for _, word := range words[2:] {
		if word == "sanitize-payload" {
			continue // the default; Redis tells it only of a user that came from its file
		}
		hash, isHash := strings.CutPrefix(word, "#")
		if plain, isPlain := strings.CutPrefix(word, ">"); isPlain { // no Redis lists one; none shall pass if one does
			hash, isHash = plain, true
		}
		switch {
		case !isHash:
			rules = append(rules, word)
			continue
		case at < 0:
			at = len(rules)
			rules = append(rules, "")
		}
		hashes = append(hashes, hash)
	}
	if at >= 0 {
		rules[at] = fmt.Sprintf("#%d", len(hashes))
	}
	u.Rules = strings.Join(rules, " ")
	if len(hashes) > 0 && key != "" {
		slices.Sort(hashes)
		u.Passwords = digest(key, "key", 4) + ":" + digest(key, strings.Join(hashes, " "), 16)
	}
	return u, true
}

func digest(key, text string, size int) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)[:size])
}
