package watchdog

// How the times follow from D, the smallest down-after of all Sentinels.

import (
	"fmt"
	"time"
)

const (
	promotionTerm   = 10 * time.Second       // a promotion nobody names yet is believed for so long (measured: named after 0.9-1.0 s)
	unbrokenToOpen  = 3 * time.Second        // a majority names us so long before a fence is opened: longer than the second in which all still name a master that has been replaced
	unbrokenToBreak = 10 * time.Second       // a majority names another so long before it breaks a conflict or re-points a replica
	backToOpen      = 5 * time.Second        // Sentinel remembers for so long that another told it the master is down (SENTINEL_ASK_PERIOD * 5)
	heardAgain      = 200 * time.Millisecond // a Sentinel whose connection a fence has cut begins another with one of its next ticks (0.1 s), and pings on it
	pingPeriod      = time.Second            // between two PINGs of a Sentinel (SENTINEL_PING_PERIOD)
	awaitTerm       = 5 * time.Second        // a fence is opened as soon as the Sentinels certify again, or not for such a while
	peersForgotten  = 60 * time.Second       // a Sentinel that was RESET finds the replicas again with its next INFO to a master, within 10 s
	roleTermToOpen  = 11 * time.Second       // Sentinel asks INFO every 10 s: nearer than that it would fail over the master just opened
	openedTerm      = 17 * time.Second       // after the way out a Sentinel holds us down until its next INFO, and has for 5 s longer (downMemory of package sentinel)
	roleTermAtMost  = 35 * time.Second       // Sentinel acts on a master that reports slave D + 20 s after the INFO that showed it, up to 10 s after the fence; and the failover's seconds
	tiltToOpen      = 15 * time.Second       // after TILT a Sentinel acts at once on a role of D + 20 s ago: the rest of a poll of its lists, and the failover's seconds
	fencedWayOut    = 40 * time.Second       // past every role term (down-after + 20 s, for a D up to 20 s) Sentinel would have acted
	startGrace      = time.Second            // at start, silence is no evidence for so long
	hintTerm        = 30 * time.Second       // a Sentinel whose hint came to nothing is not held for again before
	minLeaseTTL     = 2 * time.Second        // etcd raises anything shorter
	maxSuspectAfter = 750 * time.Millisecond
)

// Timing is every duration the decision and the adapters use.
type Timing struct {
	DownAfter    time.Duration // D; where no Sentinel ever told it, an assumed 2 s
	Act          time.Duration // A: from the verdict to the refusal seen
	Armed        time.Duration // how long before E the armed fence fires: Redis does that by itself, and needs no time to be told
	SuspectAfter time.Duration // a coordinator round older than this is not fresh
	Uncertified  time.Duration // Sentinels' answers older than this do not certify
	HintHold     time.Duration // longest hold for an unchecked announcement
	LeaseTTL     time.Duration // of the grant; whole seconds
	Margin       time.Duration // taken off the lease for the clocks' rates
	Round        time.Duration // between two renewals of the grant
	Poll         time.Duration // between two polls of a Sentinel
}

// Timing computes the times for a group whose smallest down-after is d. A
// policy's own values win over the defaults.
func (p Policy) Timing(d time.Duration) Timing {
	if d <= 0 {
		d = 2 * time.Second
	}
	t := Timing{DownAfter: d}
	t.Act = orDefault(p.TimeToAct, clamp(d/20, 100*time.Millisecond, 500*time.Millisecond))
	t.Armed = t.Act / 5
	// A longer D does not make a longer suspicion: what is acknowledged
	// before the hold is what a partition loses.
	t.SuspectAfter = orDefault(p.SuspectAfter, clamp(d/8, 400*time.Millisecond, maxSuspectAfter))
	t.Uncertified = t.SuspectAfter * 3 / 2
	t.HintHold = orDefault(p.HintHold, min(d/4, 500*time.Millisecond))
	t.LeaseTTL = max(minLeaseTTL, (d - time.Second).Truncate(time.Second))
	t.Margin = max(50*time.Millisecond, t.LeaseTTL/50)
	// As seldom as leaves an answer a fifth of the suspicion to come in. A
	// suspicion alone changes nothing for clients, and has every Sentinel
	// polled at once; a Sentinel's answer has half a suspicion more.
	t.Round = t.SuspectAfter * 4 / 5
	t.Poll = t.Round
	return t
}

// Bears is how long a Redis may stand still and wakes before its armed fence is
// due: D, less one poll, for by the last answer before the stall the fence was put
// off, less what the fence is armed before that.
func (t Timing) Bears() time.Duration { return t.DownAfter - t.Poll - t.Armed }

// wayOutTerm is past every role term: how long it is left to Sentinel to promote
// another than a master that is fenced.
func (t Timing) wayOutTerm() time.Duration { return max(fencedWayOut, t.DownAfter+roleTermAtMost) }

// doubtFor is how long before E - A writers are held: half of D, less where a
// healthy group comes that near. There every poll renews E, and silence is
// suspect after Uncertified.
func (t Timing) doubtFor() time.Duration {
	healthy := t.DownAfter - t.Poll - t.Act
	return clamp(healthy-t.Uncertified, 0, t.DownAfter/2)
}

// suspicious is how long the Sentinels may not have heard a Redis that answers
// before its writers are held for it (row 10). The hold keeps them from hearing it:
// CLIENT PAUSE delays a Sentinel's PUBLISH, and its PINGs behind that.
func (t Timing) suspicious() time.Duration {
	return max(t.Uncertified, t.DownAfter-t.Act-t.doubtFor())
}

// Kept says whether the timing leaves room for the promise (two renewals
// between a lost answer and the refusal), and if not, why, with the numbers.
func (t Timing) Kept() (bool, string) {
	if t.LeaseTTL >= t.DownAfter {
		return false, fmt.Sprintf("the grant's lease (%v) must be below down-after-milliseconds (%v): etcd grants no shorter one", t.LeaseTTL, t.DownAfter)
	}
	// In a healthy group E is D less one poll ahead.
	left := t.DownAfter - t.Poll - t.Act
	if need := 2 * t.Poll; left < need {
		return false, fmt.Sprintf("down-after-milliseconds (%v) less a poll (%v) and the time to act (%v) leaves %v: less than two polls (%v)",
			t.DownAfter, t.Poll, t.Act, left, need)
	}
	if left, need := t.LeaseTTL-t.Margin-t.Act, t.SuspectAfter+2*t.Round; left < need {
		return false, fmt.Sprintf("the grant's lease (%v) less margin (%v) and time to act (%v) leaves %v: less than two renewals after the suspicion (%v)",
			t.LeaseTTL, t.Margin, t.Act, left, need)
	}
	return true, ""
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

func clamp(d, lo, hi time.Duration) time.Duration { return min(max(d, lo), hi) }
