package page

import (
	"bytes"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

func TestNamesAreDataAndNotMarkup(t *testing.T) {
	evil := `</script><img src=x onerror=alert(1)>`
	out, err := HTML(keyspace.Audit{Schema: 1, Large: []keyspace.Large{{Key: evil}}, Prefixes: []keyspace.Prefix{{Pattern: evil}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out, []byte("</script>")); n != 1 {
		t.Errorf("%d scripts end in the page", n)
	}
	if bytes.Contains(out, []byte("<img")) || !bytes.Contains(out, []byte(`"schema":1`)) {
		t.Error("a key's name is markup, or the audit is not there")
	}
}

func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	for _, word := range []string{"http://", "https://", "src=", "@import", "url(", "innerHTML", "document.write"} {
		if strings.Contains(string(file), word) {
			t.Errorf("the page has %q", word)
		}
	}
	if bytes.Count(file, place) != 1 {
		t.Error("there is no place for the audit")
	}
}
