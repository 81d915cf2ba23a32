// Package page makes one HTML file of an audit, which needs nothing from
// elsewhere: it can be mailed, and opened where there is no network.
package page

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

//go:embed page.html
var file []byte

var place = []byte("/*AUDIT*/null")

// HTML is the page of an audit. Names of keys are data in it, never markup: the
// JSON has no "<" that ends its script, and the script writes text only.
func HTML(a keyspace.Audit) ([]byte, error) {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(true) // "<" becomes \u003c
	if err := encoder.Encode(a); err != nil {
		return nil, fmt.Errorf("encode audit: %w", err)
	}
	return bytes.Replace(file, place, bytes.TrimSpace(data.Bytes()), 1), nil
}
