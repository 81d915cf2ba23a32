package preflight

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests compare with")

const (
	storiesPage = "../docs/checks.md"
	tablePage   = "../docs/preflight.md"
)

// storiesText is the page of all checks.
func storiesText() string {
	var page strings.Builder
	page.WriteString("# The checks of the preflight\n\n" +
		"Made from `preflight/stories` and the tables of checks beside them by `go test ./preflight -run Page -update`: change it there. " +
		"`redis-watchdog preflight --explain ID` tells the same. How they are used is in [preflight.md](preflight.md).\n")
	area := ""
	for _, c := range Catalogue() {
		if c.Area != area {
			area = c.Area
			fmt.Fprintf(&page, "\n## %s\n", area)
		}
		fmt.Fprintf(&page, "\n### %s\n\n**%s** (%s)\n\n%s\n\n*Otherwise:* %s\n\n*Fix:* %s\n", c.ID, c.Title, weightOf(c), c.Story.Why, c.Story.Otherwise, c.Story.Fix)
		if c.Story.Silence != "" {
			fmt.Fprintf(&page, "\n*To live with it:* %s\n", c.Story.Silence)
		}
	}
	return page.String()
}

func weightOf(c Check) string {
	text := string(c.Severity)
	if c.Elsewhere != "" {
		text += "; " + string(c.Elsewhere) + " at other replicas"
	}
	if c.Veto {
		text += "; vetoes"
	}
	return text
}

func TestPageOfStoriesIsTheCatalogue(t *testing.T) {
	want := storiesText()
	if *update {
		if err := os.WriteFile(storiesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(storiesPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not the catalogue; go test ./preflight -run Page -update", storiesPage)
	}
}

var tableRow = regexp.MustCompile("(?m)^\\| \\[`([a-z0-9_]+)`\\]\\(checks\\.md#([a-z0-9_]+)\\) \\| (.*) \\| (.*) \\|$")

func TestPageWithTheTableHasEveryCheck(t *testing.T) {
	page, err := os.ReadFile(tablePage)
	if err != nil {
		t.Fatal(err)
	}
	if found := tableRow.FindAllIndex(page, -1); *update && len(found) > 0 {
		first, last := found[0][0], found[len(found)-1][1]
		page = slices.Concat(page[:first], []byte(strings.TrimSuffix(tableRows(), "\n")), page[last:])
		if err := os.WriteFile(tablePage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got, want []string
	for _, m := range tableRow.FindAllStringSubmatch(string(page), -1) {
		got = append(got, strings.Join(m[1:], " | "))
	}
	for _, c := range Catalogue() {
		want = append(want, strings.Join([]string{c.ID, c.ID, weightOf(c), c.Title}, " | "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table of %s is not the catalogue; go test ./preflight -run Page -update, or make it\n%s", tablePage, tableRows())
	}
}

// tableRows is the catalogue as rows of the table.
func tableRows() string {
	var rows strings.Builder
	for _, c := range Catalogue() {
		fmt.Fprintf(&rows, "| [`%s`](checks.md#%s) | %s | %s |\n", c.ID, c.ID, weightOf(c), c.Title)
	}
	return rows.String()
}

func TestCatalogueIsWellMade(t *testing.T) {
	seen := map[string]bool{}
	id := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, c := range Catalogue() {
		if seen[c.ID] || !id.MatchString(c.ID) {
			t.Errorf("id %q is used twice, or is not snake_case", c.ID)
		}
		seen[c.ID] = true
		if c.Title == "" || strings.HasSuffix(c.Title, ".") || c.Story.Why == "" || c.Story.Otherwise == "" || c.Story.Fix == "" || c.Area == "" {
			t.Errorf("%s: its story is not whole: %+v", c.ID, c)
		}
		if c.Severity != Blocks && c.Severity != Warns && c.Severity != Informs {
			t.Errorf("%s: severity %q", c.ID, c.Severity)
		}
		if c.Veto && c.Severity != Blocks {
			t.Errorf("%s vetoes and does not block", c.ID)
		}
	}
	for id := range stories() {
		if !seen[id] {
			t.Errorf("%s has a story and no row", id)
		}
	}
	files, err := storyFiles.ReadDir("stories")
	if err != nil || len(files) != len(Areas())+1 {
		t.Errorf("%d files of stories (%v), and %d areas with the checks after a switch", len(files), err, len(Areas())+1)
	}
	for _, c := range checks() {
		if (c.Elsewhere != "") != (c.scope&ofBystander != 0) {
			t.Errorf("%s: severity elsewhere is %q, and its scope says otherwise", c.ID, c.Elsewhere)
		}
	}
}
