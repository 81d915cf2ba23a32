package goredis

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestEveryHabitIsShown: what docs/go-redis.md names is a test, and every test
// here is named there.
func TestEveryHabitIsShown(t *testing.T) {
	page, err := os.ReadFile("../../docs/go-redis.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := func(dir string) (names []string) {
		files, err := filepath.Glob(dir + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)`).FindAllSubmatch(text, -1) {
				names = append(names, string(m[1]))
			}
		}
		return names
	}
	here, hostile := tests("."), tests("../../watchdog/redisclient")
	var named []string
	for _, name := range regexp.MustCompile("`(?:Test|Fuzz)\\w+`").FindAllString(string(page), -1) {
		name = name[1 : len(name)-1]
		named = append(named, name)
		if !slices.Contains(here, name) && !slices.Contains(hostile, name) {
			t.Errorf("%s is no test", name)
		}
	}
	for _, name := range here {
		if name != "TestEveryHabitIsShown" && name != "TestEveryBuildSoak" && !slices.Contains(named, name) {
			t.Errorf("%s is not in docs/go-redis.md", name)
		}
	}
}
