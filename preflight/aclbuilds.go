package preflight

// When the users of two builds have the same rights. What was typed alike is
// listed otherwise: 6.0 and 7.0 list categories that come to the same commands
// instead of what was typed (6.0: -eval -evalsha as "-@scripting +script"), a
// category holds other commands in another build, and 6.0 knows no channels and
// no rights of subcommands. So each list is carried out by its own build's
// categories, and what comes of it is compared, command by command.

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed aclcategories.txt
var aclCategories string

// ACLCategories is what ACL CAT answers on a build, "redis 7.0": each category's
// commands and subcommands ("config|get"), in lower case. nil: it was not
// recorded.
func ACLCategories(build string) map[string][]string {
	_, text, found := strings.Cut(aclCategories, "["+build+"]\n")
	if !found {
		return nil
	}
	text, _, _ = strings.Cut(text, "[")
	categories := map[string][]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		categories[words[0]] = words[1:]
	}
	return categories
}

// rights are the commands that a build has, each with its categories. One that
// has subcommands stands there by these alone, but COMMAND, which is one itself.
type rights map[string][]string

// rightsOf are those of two builds, seen as finely as the finer of them sees
// them: what is one command in 6.0 has the subcommands there that it has in the
// other. nil: nothing was recorded of one.
func rightsOf(a, b build) (ofA, ofB rights) {
	read := func(of build) rights {
		r := rights{}
		for category, commands := range ACLCategories(of.name + " " + of.String()) {
			for _, c := range commands {
				r[c] = append(r[c], category)
			}
		}
		return r
	}
	ofA, ofB = read(a), read(b)
	if len(ofA) == 0 || len(ofB) == 0 {
		return nil, nil
	}
	split := func(r, by rights) {
		for sub := range by {
			if c, _, ok := strings.Cut(sub, "|"); ok && r[c] != nil && r[sub] == nil {
				r[sub] = r[c]
			}
		}
	}
	switch whole := func(of build) bool { return of.name == "redis" && !of.since(7, 0) }; {
	case whole(a) && !whole(b):
		split(ofA, ofB)
	case whole(b) && !whole(a):
		split(ofB, ofA)
	}
	for _, r := range []rights{ofA, ofB} {
		for sub := range r {
			if c, _, ok := strings.Cut(sub, "|"); ok && c != "command" {
				delete(r, c)
			}
		}
	}
	return ofA, ofB
}

// allowed are the commands that rules allow, those of a user without selectors.
// What the build has not is left out, and named in unknown.
func (r rights) allowed(rules string) (allowed map[string]bool, unknown []string) {
	allowed = map[string]bool{}
	for word := range strings.FieldsSeq(strings.ToLower(rules)) {
		switch word {
		case "allcommands":
			word = "+@all"
		case "nocommands":
			word = "-@all"
		}
		if word[0] != '+' && word[0] != '-' {
			continue
		}
		name, meant := word[1:], 0
		category, isCategory := strings.CutPrefix(name, "@")
		for command, categories := range r {
			container, _, _ := strings.Cut(command, "|")
			if isCategory && (category == "all" || slices.Contains(categories, category)) || command == name || container == name {
				allowed[command] = word[0] == '+'
				meant++
			}
		}
		if meant == 0 {
			unknown = append(unknown, word)
		}
	}
	return allowed, unknown
}

// others are the words of rules that are none of commands, in order: flags, keys,
// channels, passwords; channels apart.
func others(rules string) (rest, channels []string) {
	for word := range strings.FieldsSeq(rules) {
		switch {
		case word[0] == '+' || word[0] == '-', slices.Contains([]string{"allcommands", "nocommands"}, strings.ToLower(word)):
		case word == "resetchannels":
		case word == "allchannels":
			channels = append(channels, "&*")
		case word[0] == '&':
			channels = append(channels, word)
		case word == "sanitize-payload": // the default
		default:
			rest = append(rest, word)
		}
	}
	slices.Sort(rest)
	slices.Sort(channels)
	return slices.Compact(rest), slices.Compact(channels)
}

// across is what stands against a candidate's rules beside the master's, of
// another build.
type across struct {
	same bool     // nothing does
	lost []string // else: the commands that both builds have, and the master alone allows
}

// acrossBuilds says whether clients may do with theirs, the rules of a candidate,
// all that they may do with the master's, as far as both builds have the
// commands; and whether no more was typed there than at the master. It is never so
// where that is not certain: of builds whose categories are not known, with
// selectors, or with a rule that the build it is listed by has no command for (a
// module's, a renamed one).
func acrossBuilds(master build, masters string, candidate build, theirs string) (a across) {
	if strings.ContainsAny(masters+theirs, "()") {
		return a
	}
	ofMaster, ofCandidate := rightsOf(master, candidate)
	if ofMaster == nil {
		return a
	}
	before, unknown := ofMaster.allowed(masters)
	after, unknownThere := ofCandidate.allowed(theirs)
	if len(unknown)+len(unknownThere) > 0 {
		return a
	}
	for command := range ofMaster {
		if _, both := ofCandidate[command]; both && before[command] && !after[command] && !idle(command) {
			a.lost = append(a.lost, command)
		}
	}
	slices.Sort(a.lost)
	// More, by the master's own reckoning: what the categories of the other build
	// hold besides was not typed.
	typed, _ := ofMaster.allowed(theirs)
	more := false
	for command := range ofMaster {
		more = more || typed[command] && !before[command]
	}
	rest, channels := others(masters)
	restThere, channelsThere := others(theirs)
	heard := slices.Equal(channels, channelsThere)
	switch {
	case !candidate.channels(): // everybody may use every one
		heard = true
	case !master.channels():
		heard = slices.Contains(channelsThere, "&*") || !ofMaster.any(before, "pubsub")
	}
	a.same = len(a.lost) == 0 && !more && heard && slices.Equal(rest, restThere)
	return a
}

// idle is whether no client of a group's Redis needs a subcommand: it tells people
// of others, or is one of Redis Cluster, whose nodes no Sentinel monitors.
func idle(command string) bool {
	return strings.HasSuffix(command, "|help") || strings.HasPrefix(command, "cluster|")
}

// channels is whether a build limits who may use which channel.
func (b build) channels() bool { return b.name != "redis" || b.since(6, 2) }

// any is whether a command of a category is allowed.
func (r rights) any(allowed map[string]bool, category string) bool {
	for command, categories := range r {
		if allowed[command] && slices.Contains(categories, category) {
			return true
		}
	}
	return false
}
