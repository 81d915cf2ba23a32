package docs

// One idea, one word: what Redis, Sentinel, etcd, systemd or Kubernetes call a
// thing is its name here. The words below once stood for something that has a
// standard one.

import (
	"go/ast"
	"strings"
	"testing"
	"unicode"
)

// ownWords are words that no declaration of the product may have in its name, and
// what the thing is called in place of each.
var ownWords = map[string]string{
	"brisk": "fast", "complaints": "fault log", "dog": "watchdog", "dogs": "watchdogs",
	"farewell": "announce stop", "gated": "started fenced", "handover": "planned failover",
	"kick": "signal.Signal", "poke": "signal.Signal", "poked": "signal.Signal",
	"reborn": "new run id", "scribe": "queue", "stopper": "helper", "survey": "node report",
	"surveyed": "reported", "surveyor": "reporter", "surveys": "node reports", "standing": "lasting, seen, armed",
	"stands": "is set, is armed, is in force", "teller": "notify",
}

// wordsOf are the words of a name in camel case, in lower case.
func wordsOf(name string) (words []string) {
	word := ""
	for _, r := range name {
		if unicode.IsUpper(r) && word != "" {
			words, word = append(words, word), ""
		}
		word += string(unicode.ToLower(r))
	}
	return append(words, word)
}

func TestNoWordsOfOurOwn(t *testing.T) {
	declared := 0
	for _, p := range packages(t) {
		for _, file := range p.parsed {
			check := func(names ...*ast.Ident) {
				for _, id := range names {
					declared++
					for _, word := range wordsOf(id.Name) {
						if better := ownWords[word]; better != "" {
							t.Errorf("%s: %s: %q is %s", p.files.Position(id.Pos()), id.Name, word, better)
						}
					}
				}
			}
			if name := strings.ToLower(file.Name.Name); ownWords[name] != "" {
				check(file.Name)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					check(n.Name)
				case *ast.TypeSpec:
					check(n.Name)
				case *ast.ValueSpec:
					check(n.Names...)
				case *ast.StructType:
					for _, field := range n.Fields.List {
						check(field.Names...)
					}
				case *ast.InterfaceType:
					for _, method := range n.Methods.List {
						check(method.Names...)
					}
				}
				return true
			})
		}
	}
	if declared < 1000 {
		t.Errorf("only %d declarations were seen", declared)
	}
}
