package preflight

import (
	"embed"
	"strings"
)

// storyFiles are the stories, a file for each area. docs/checks.md is made of them.
//
//go:embed stories/*.md
var storyFiles embed.FS

// told is what a section of such a file says of the check that it is headed by.
type told struct {
	title string
	Story
}

// stories are all of them, by the id of their check. A section is a heading ("## "
// and the id), the title in bold, and paragraphs: why, and behind their words in
// italics what happens otherwise, the fix, and how to live with it.
func stories() map[string]told {
	all := map[string]told{}
	for _, r := range append(Areas(), areaAfter) {
		text, err := storyFiles.ReadFile("stories/" + r + ".md")
		if err != nil {
			continue // TestCatalogueIsWellMade misses its stories
		}
		for _, section := range strings.Split("\n"+string(text), "\n## ")[1:] {
			id, rest, _ := strings.Cut(section, "\n")
			all[id] = readStory(rest)
		}
	}
	return all
}

func readStory(text string) told {
	var t told
	into := &t.Why
	for _, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if title, ok := strings.CutPrefix(paragraph, "**"); ok && t.title == "" {
			t.title = strings.TrimSuffix(title, "**")
			continue
		}
		for word, part := range map[string]*string{"*Otherwise:* ": &t.Otherwise, "*Fix:* ": &t.Fix, "*To live with it:* ": &t.Silence} {
			if rest, ok := strings.CutPrefix(paragraph, word); ok {
				into, paragraph = part, rest
				break
			}
		}
		if *into != "" {
			*into += "\n\n"
		}
		*into += paragraph
	}
	return t
}
