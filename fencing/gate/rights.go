package gate

// What this Redis lets us do, found out by harmless trials: each command is
// tried with arguments that Redis refuses only after it has found the command
// and checked our rights to it. That works alike on Redis 6.0 and on 8, where
// ACL DRYRUN and COMMAND INFO do not.

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

const rightsEvery = time.Minute

// capabilities are the means that this Redis grants us.
type capabilities struct {
	Config, ReplicaOf, Kill, XRead, List, Pause bool

	PauseWrite bool // CLIENT PAUSE … WRITE: 6.2
	ListID     bool // CLIENT LIST ID: 6.2
	Failover   bool // FAILOVER ABORT: 6.2
	NoHello    bool // HELLO is not to be had
	Checked    bool
}

// assumed is what is tried before anything is known.
func assumed() capabilities {
	return capabilities{Config: true, ReplicaOf: true, Kill: true, XRead: true, List: true, Pause: true}
}

func (g *Gate) capabilities() capabilities {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.caps
}

// mayArm says that this Redis lets us arm a fence. That it cannot for now (no
// connection, a machine that stalls) is tried again and again.
func (g *Gate) mayArm() bool {
	c := g.capabilities()
	return c.XRead && c.ReplicaOf && c.List
}

// armIsOff says that a grant is not kept waiting for the fence any longer.
func (g *Gate) armIsOff() bool {
	return !g.mayArm() ||
		(g.worker.armFailing != 0 && g.conf.Now().Sub(g.worker.armFailing) > 2*time.Second)
}

// prepare makes the fence of what is to be had.
func (g *Gate) prepare(c capabilities) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.NoHello = g.caps.NoHello
	g.caps = c
	g.fence = liveScript(g.commands, c)
	g.arm = fenceScript(g.commands, c)
	g.pause = script{}.with(g.commands, "CLIENT", "PAUSE", "300", "WRITE")
}

// trial is one command tried, and where its outcome goes.
type trial struct {
	words []string
	out   *bool
	right string // as ACL names it; empty: it is missed by nobody
}

// checkRights tries, on every new connection and once a minute.
func (g *Gate) checkRights(ctx context.Context) {
	w := &g.worker
	now := g.conf.Now()
	if w.capsOn == w.on && now.Sub(w.capsAt) < rightsEvery {
		g.checkSmallRights()
		return
	}
	c := g.capabilities()
	const nobody = "9223372036854775807"
	trials := []trial{
		{[]string{"CONFIG", "SET", "redis-watchdog", "trial"}, &c.Config, "+config|set"},
		{[]string{"REPLICAOF", "redis-watchdog", "trial"}, &c.ReplicaOf, "+replicaof"},
		{[]string{"CLIENT", "KILL", "ID", nobody}, &c.Kill, "+client|kill"},
		{[]string{"XREAD", "COUNT", "1", "STREAMS", g.key, "$"}, &c.XRead, "+xread on ~redis-watchdog:*"},
		{[]string{"CLIENT", "LIST", "ID", nobody}, &c.List, "+client|list"},
		{[]string{"CLIENT", "PAUSE", "trial", "WRITE"}, &c.Pause, "+client|pause"},
		{[]string{"FAILOVER", "TIMEOUT", "trial"}, &c.Failover, "+failover"},
	}
	const list, pause, failover = 4, 5, 6
	var s script
	for _, t := range trials {
		s = s.with(g.commands, t.words[0], t.words[1:]...)
	}
	re, err := g.ask(ctx, s, stepTimeout)
	if err != nil {
		return
	}
	if noFailover(g.redisVersion()) {
		trials[failover].right = "" // there is no such command, and nothing that it would end
	}
	missing := judgeTrials(trials, re)
	syntax := func(r resp.Reply) bool {
		return r.IsError() && (strings.Contains(r.Text, "syntax") || strings.Contains(strings.ToLower(r.Text), "unknown subcommand"))
	}
	c.ListID = c.List && !syntax(re[list])
	c.PauseWrite = c.Pause && !syntax(re[pause])
	c.Checked = true
	w.capsOn, w.capsAt = w.on, now
	if c != g.capabilities() {
		g.prepare(c)
	}
	w.missing = missing
	g.blame()
	w.smallDue = true
	g.checkSmallRights()
}

func (g *Gate) redisVersion() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.details.RedisVersion
}

// noFailover says that a Redis of this version does not know FAILOVER (before
// 6.2).
func noFailover(version string) bool {
	return strings.HasPrefix(version, "6.0.") || strings.HasPrefix(version, "5.")
}

// lack is a right that is missing.
type lack struct {
	right   string // as ACL SETUSER names it
	unknown string // the command, where Redis does not know it, so that no right helps; empty: it is denied
}

// judgeTrials notes what came of each trial, and names the rights that are
// missing.
func judgeTrials(trials []trial, re []resp.Reply) (missing []lack) {
	for i, t := range trials {
		allowed := true
		switch r := re[i]; {
		case r.ErrorIs("NOPERM", "EXECABORT"), r.UnknownCommand(): // EXEC that is denied aborts

			allowed = false
			if t.right != "" {
				l := lack{right: t.right}
				if r.UnknownCommand() {
					l.unknown = t.words[0]
				}
				missing = append(missing, l)
			}
		case r.ErrorIs("MASTERDOWN", "LOADING", "BUSY"): // says nothing of rights
			continue
		}
		if t.out != nil {
			*t.out = allowed
		}
	}
	return missing
}

// checkSmallRights tries those without which the gate finds another way by
// itself. It tries them on a spare: DEL on a master whose writes are paused
// would hold the primary connection up. Without one they stay due.
//
// CONFIG REWRITE and CLIENT UNPAUSE have no harmless form. They are queued in a
// transaction that a command without its arguments spoils: Redis checks rights
// while it queues, and executes none of it. That is done only once an empty
// transaction has gone well, for where MULTI is denied they would be executed.
func (g *Gate) checkSmallRights() {
	w := &g.worker
	if k := w.small.call; k != nil {
		if !k.finished() {
			return
		}
		if g.smallAnswered(k) {
			return
		}
	}
	if !w.smallDue {
		return
	}
	spare := g.spare()
	if spare == nil {
		return
	}
	w.smallDue = false
	g.trySmall(spare, g.smallTrials(), false)
}

// smallCheck is the trials under way: nobody waits for them.
type smallCheck struct {
	on     *conn
	trials []trial
	queued bool  // they are in a transaction
	call   *call // nil: none
}

func (g *Gate) trySmall(on *conn, trials []trial, queued bool) {
	var s script
	for _, t := range trials {
		s = s.with(g.commands, t.words[0], t.words[1:]...)
	}
	g.worker.small = smallCheck{on: on, trials: trials, queued: queued,
		call: on.send(s.bytes, s.n, g.conf.Now(), func(*call) { g.wake.Raise() })}
}

// smallAnswered takes in what came of the trials; it is true when that was all,
// or more are under way.
func (g *Gate) smallAnswered(k *call) bool {
	w := &g.worker
	small := w.small
	w.small = smallCheck{}
	if k.err != nil {
		w.smallDue = true
		return false
	}
	if small.queued {
		g.giveBack(small.on)
		if k.replies[len(k.replies)-1].ErrorIs("EXECABORT") && !slices.ContainsFunc(k.replies, func(r resp.Reply) bool { return r.ErrorIs("OOM") }) {
			w.missingQueued = judgeTrials(small.trials[:len(small.trials)-1], k.replies)
		} // else nothing was checked: over maxmemory Redis 6 and 7 queue nothing
		g.blame()
		return true
	}
	w.missingSmall = judgeTrials(small.trials, k.replies)
	multi, exec := k.replies[len(k.replies)-2], k.replies[len(k.replies)-1]
	switch {
	case multi.OK() && exec.Kind == '*':
		g.trySmall(small.on, queuedTrials(), true)
	case multi.OK():
		small.on.close() // it waits for an EXEC that cannot be said
	default:
		g.giveBack(small.on)
	}
	g.blame()
	return true
}

// smallTrials end with an empty transaction.
func (g *Gate) smallTrials() []trial {
	trials := []trial{
		{words: []string{"PING"}, right: "+ping"},
		{words: []string{"INFO", "redis-watchdog"}, right: "+info"},
		{words: []string{"ROLE"}, right: "+role"},
		{words: []string{"CONFIG", "GET", "redis-watchdog"}, right: "+config|get"},
		{words: []string{"GET", probeKey}, right: "+get on ~redis-watchdog:*"},
		{words: []string{"DEL", probeKey}, right: "+del on ~redis-watchdog:*"},
	}
	if g.capabilities().NoHello {
		trials = append(trials, trial{words: []string{"CLIENT", "ID"}, right: "+client|id"},
			trial{words: []string{"CLIENT", "SETNAME", clientName}, right: "+client|setname"})
	}
	return append(trials, trial{words: []string{"MULTI"}, right: "+multi"}, trial{words: []string{"EXEC"}, right: "+exec"})
}

// queuedTrials are a transaction that is never executed.
func queuedTrials() []trial {
	return []trial{
		{words: []string{"MULTI"}, right: "+multi"},
		{words: []string{"CONFIG", "REWRITE"}, right: "+config|rewrite"},
		{words: []string{"CLIENT", "UNPAUSE"}, right: "+client|unpause"},
		{words: []string{"GET"}, right: "+get on ~redis-watchdog:*"},
		{words: []string{"EXEC"}, right: "+exec"},
	}
}

// blame says what is missing and what is done in its place.
func (g *Gate) blame() {
	all := slices.Concat(g.worker.missing, g.worker.missingSmall, g.worker.missingQueued)
	var missing, unknown []string
	denied := false
	for _, l := range all {
		missing = append(missing, l.right)
		if l.unknown != "" {
			unknown = append(unknown, l.unknown)
		}
		denied = denied || l.unknown == ""
	}
	slices.Sort(missing)
	slices.Sort(unknown)
	missing, unknown = slices.Compact(missing), slices.Compact(unknown)
	g.mu.Lock()
	c, version := g.caps, g.details.RedisVersion
	g.details.Missing, g.details.Unknown = missing, unknown
	g.mu.Unlock()
	without := func(rights ...string) bool {
		return slices.ContainsFunc(missing, func(m string) bool {
			right, _, _ := strings.Cut(m, " ")
			return slices.Contains(rights, right)
		})
	}
	lacks := []struct {
		id, text string
		missing  bool
		severe   bool
	}{
		{"rights_info", "INFO is denied or renamed: this Redis' run id is not known, by which the Sentinels are asked about it", without("+info"), true},
		{"rights_config_get", "CONFIG GET is denied: whether the lock is set is not seen", without("+config|get") && c.Config, true},
		{"rights_client_id", "HELLO is renamed, and CLIENT ID or SETNAME is denied: no fence can be armed inside Redis", without("+client|id", "+client|setname"), true},
		{"rights_ping", "PING is denied or renamed: a Redis that loads its data is not told from one that is up", without("+ping"), false},
		{"rights_role", "ROLE is denied or renamed: INFO is asked instead, which costs Redis more", without("+role"), false},
		{"rights_probe", "GET or DEL on redis-watchdog:* is denied or renamed: that a fenced Redis refuses is read from its parameters, not tried", without("+get", "+del"), false},
		{"rights_rewrite", "CONFIG REWRITE is denied: a fence is not written into redis.conf and does not outlive a restart of Redis", without("+config|rewrite") && c.Config, false},
		{"rights_unpause", "CLIENT UNPAUSE is denied: writers wait up to " + pauseFor.String() + " longer than they need to", without("+client|unpause") && c.PauseWrite, false},
		{"rights_replicaof", "REPLICAOF is denied or renamed: Redis cannot be fenced, it is killed instead when it has to refuse", !c.ReplicaOf, true},
		{"rights_config", "CONFIG SET is denied or renamed: no lock, and a fenced Redis goes on answering reads, so it is killed when it has to refuse", !c.Config, true},
		{"rights_xread", "XREAD or CLIENT LIST is denied or renamed: no fence can be armed inside Redis, a frozen or killed watchdog does not fence it", !c.XRead || !c.List, true},
		{"rights_multi", "MULTI or EXEC is denied or renamed: whether CONFIG REWRITE and CLIENT UNPAUSE are allowed is not known before they are needed", without("+multi", "+exec"), false},
		{"rights_kill", "CLIENT KILL is denied or renamed: the fence leaves connections open (they are refused), and an armed fence is put off by closing its socket", !c.Kill, false},
		{"rights_pause", "CLIENT PAUSE is denied, renamed or without WRITE (before Redis 6.2): a hold gives writers an error instead of making them wait", !c.PauseWrite, false},
		{"rights_failover", "FAILOVER is denied or renamed: a fence during a FAILOVER typed into Redis waits until that has ended", !c.Failover && !noFailover(version), false},
	}
	for _, l := range lacks {
		if !l.missing {
			g.clearFault(l.id)
			continue
		}
		g.setFault(Fault{
			ID: l.id, Severity: severe(l.severe), Text: l.text,
			Remedy: remedyForRights(version, unknown, denied),
		})
	}
}

// aclRuleFor is ACLRule as a Redis of this version takes it: 6.0 refuses the whole
// line for one word that it does not know.
func aclRuleFor(version string) string {
	if !noFailover(version) {
		return ACLRule
	}
	return strings.TrimPrefix(strings.Replace(ACLRule, " +failover", "", 1), "resetchannels ")
}

// remedyForRights is what helps where rights are denied, or where Redis does not
// know the commands they are of.
func remedyForRights(version string, unknown []string, denied bool) string {
	grant := "ACL SETUSER <user> " + aclRuleFor(version)
	if len(unknown) == 0 {
		return grant
	}
	names := "this Redis does not know " + strings.Join(unknown, ", ") + ": where rename-command in redis.conf gave it another name, write that under commands: in the configuration and reload; where it was taken away (\"\"), delete that line and restart Redis, no right gives it back"
	if denied {
		return names + " ; and for what is denied: " + grant
	}
	return names
}

// remedyFor is what helps against an error by which Redis refused a change.
func remedyFor(version, text string) string {
	r := resp.Reply{Kind: '-', Text: text}
	if r.UnknownCommand() {
		return "this Redis does not know the command: where rename-command in redis.conf gave it another name, write that under commands: in the configuration and reload; where it was taken away, delete that line and restart Redis"
	}
	if r.ErrorIs("NOPERM") {
		return "give the watchdog's Redis user its rights: ACL SETUSER <user> " + aclRuleFor(version)
	}
	return "see in Redis' own log why it refuses CONFIG SET or REPLICAOF, and try the same by redis-cli; the watchdog tries it again and again"
}

func sortedFaults(m map[string]Fault) []Fault {
	out := make([]Fault, 0, len(m))
	for _, f := range m {
		out = append(out, f)
	}
	sorted.By(out, func(a, b Fault) int { return strings.Compare(a.ID, b.ID) })
	return out
}
