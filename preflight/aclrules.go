package preflight

// When two lists of ACL rules are the same rights. Up to 7.0 every process lists
// the commands of a user in an order of its own (its hash tables are seeded),
// and since then a right taken away and given back moves to the end: as text
// the rules differ, as rights they do not.

import (
	"slices"
	"strings"
)

// SameRights is whether two rules, as ACL LIST has them, are told to be the
// same rights: what may change places without changing them is sorted, and of
// what a later rule undoes only the later is kept. It never calls different
// rights the same; rights that are the same by what the categories hold (as
// -@all +@read beside every command of @read) it calls different.
func SameRights(a, b string) bool { return a == b || canonicalRules(a) == canonicalRules(b) }

func canonicalRules(rules string) string {
	var root, selector, selectors []string
	inside := false
	for word := range strings.FieldsSeq(rules) {
		word, opens := strings.CutPrefix(word, "(")
		inside = inside || opens
		if !inside {
			root = append(root, word)
			continue
		}
		word, closes := strings.CutSuffix(word, ")")
		selector = append(selector, word)
		if closes {
			// Selectors (7.0) stand beside each other: one that allows is enough.
			selectors = append(selectors, "("+canonicalSelector(selector)+")")
			inside, selector = false, nil
		}
	}
	slices.Sort(selectors)
	return strings.Join(append([]string{canonicalSelector(root)}, slices.Compact(selectors)...), " ")
}

// canonicalSelector sorts the words that are no rule of a command (flags, key
// and channel patterns: each only adds), and the rules of commands between two
// of categories.
func canonicalSelector(words []string) string {
	var others, commands, run []string
	flush := func() {
		commands = append(commands, settled(run)...)
		run = nil
	}
	for _, word := range words {
		switch lower := strings.ToLower(word); {
		case lower == "allcommands" || lower == "+@all":
			run, commands = nil, []string{"+@all"} // nothing before it counts
		case lower == "nocommands" || lower == "-@all":
			run, commands = nil, nil // what a user begins with
		case strings.HasPrefix(lower, "+@") || strings.HasPrefix(lower, "-@"):
			flush()
			commands = append(commands, lower)
		case word == "":
		case word[0] == '+' || word[0] == '-':
			run = append(run, lower)
		default:
			others = append(others, word)
		}
	}
	flush()
	slices.Sort(others)
	return strings.Join(append(slices.Compact(others), commands...), " ")
}

// settled is what a run of rules, all of single commands, comes to: rules of
// different commands change places freely; a rule of a whole command undoes
// those of it and of its subcommands before it, one of a subcommand that
// subcommand's.
func settled(run []string) []string {
	var kept []string
	for _, rule := range run {
		kept = slices.DeleteFunc(kept, func(before string) bool {
			return before[1:] == rule[1:] || strings.HasPrefix(before[1:], rule[1:]+"|")
		})
		kept = append(kept, rule)
	}
	// A whole command's rule is the first of its own, and stays it.
	slices.SortFunc(kept, func(a, b string) int { return strings.Compare(a[1:], b[1:]) })
	return kept
}
