package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// README is for whoever comes by: more than this many words are not read.
const mostWords = 900

func TestREADMEIsShort(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(string(page))); n > mostWords {
		t.Errorf("README.md has %d words, and may have %d: what is too much has a page of its own in docs", n, mostWords)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are those that GitHub gives a page's headings.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		text := anchor.ReplaceAllString(strings.ToLower(link.ReplaceAllString(m[1], "]")), "")
		all = append(all, strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

// TestLinksLeadSomewhere follows every link from a page to another of them.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	above, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(pages, above...) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, at, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			other, err := os.ReadFile(target)
			if err != nil {
				if info, found := os.Stat(target); found == nil && info.IsDir() {
					continue
				}
				t.Errorf("%s: %s: %v", name, m[1], err)
				continue
			}
			if at != "" && !slices.Contains(anchors(string(other)), at) {
				t.Errorf("%s: %s: no such heading", name, m[1])
			}
		}
	}
}
