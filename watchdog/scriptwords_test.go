package watchdog

// What each word of a script sets.

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func yes(v string) bool { return v != "no" }

// nobody lets a script write "-" for an address that is not there.
func nobody(v string) Address {
	if v == "-" {
		return ""
	}
	return Address(v)
}

func setInt(to *int, v string) (err error) {
	*to, err = strconv.Atoi(v)
	return err
}

func setEpoch(to *uint64, v string) (err error) {
	*to, err = strconv.ParseUint(v, 10, 64)
	return err
}

func setDuration(to *time.Duration, v string) (err error) {
	*to, err = time.ParseDuration(v)
	return err
}

// setAgreement reads "1/4:A": generation, epoch, master. "-" is none.
func setAgreement(to *Agreement, v string) error {
	if v == "-" {
		*to = Agreement{}
		return nil
	}
	term, master, _ := strings.Cut(v, ":")
	to.Master = Address(master)
	_, err := fmt.Sscanf(term, "%d/%d", &to.Generation, &to.Epoch)
	return err
}

func noSuch() error { return fmt.Errorf("no such key") }

func (s *script) setPolicy(k, v string) error {
	p := &s.policy
	switch k {
	case "coordinator_lost":
		p.CoordinatorLost = map[string]CoordinatorLost{"refuse": CoordinatorLostRefuse, "serve": CoordinatorLostServe}[v]
	case "sentinels_lost":
		p.SentinelsLost = map[string]SentinelsLost{"refuse": SentinelsLostRefuse, "serve": SentinelsLostServe}[v]
	case "born_locked":
		p.BornLocked = yes(v)
	default:
		return noSuch()
	}
	return nil
}

func roleNamed(v string) Role {
	return map[string]Role{"master": Master, "replica": Replica, "nowhere": Nowhere}[v]
}

func (s *script) setMemory(k, v string) error {
	m := &s.memory
	switch k {
	case "enrolled":
		m.Enrolled = yes(v)
	case "self":
		m.Self = nobody(v)
	case "run":
		m.RunID = v
	case "role":
		m.Role = roleNamed(v)
	case "granted":
		m.Granted = v
	case "promoted":
		m.Promoted, m.PromotedAt = v, scriptStart
	case "fenced":
		m.Fenced, m.FencedAt = v, scriptStart
	case "agreement":
		return setAgreement(&m.Agreement, v)
	case "deadline":
		var d time.Duration
		err := setDuration(&d, v)
		m.Deadline = scriptStart.Add(d)
		return err
	default:
		return noSuch()
	}
	return nil
}

func (s *script) setRedis(k, v string) error {
	r := &s.redis
	if r.RunID == "" && r.Answer == Silent {
		r.Answer = Up
	}
	switch k {
	case "up", "silent", "absent", "loading", "busy":
		r.Answer = map[string]Answer{"up": Up, "silent": Silent, "absent": Absent, "loading": Loading, "busy": Busy}[k]
	case "role":
		r.Role = roleNamed(v)
		if r.Role != Replica {
			r.Following, r.LinkUp = "", false
		}
	case "run":
		r.RunID = v
	case "disk":
		r.InStep, r.LinkUp = false, false
	case "position":
		return setPosition(&r.Position, v)
	case "empty":
		r.Empty = yes(v)
	case "following":
		r.Following = nobody(v)
	case "link":
		r.LinkUp = v == "up"
		r.InStep = r.InStep || r.LinkUp
	case "locked":
		r.Locked = yes(v)
	case "held":
		r.Held = yes(v)
	case "refusing":
		r.Refusing = yes(v)
	case "started-fenced":
		r.StartedFenced = yes(v)
	case "offset":
		n, err := strconv.ParseInt(v, 10, 64)
		r.Offset = n
		return err
	default:
		return noSuch()
	}
	return nil
}

func (s *script) setSentinels(k, v string) error {
	f := &s.sentinels
	switch k {
	case "lost", "back":
		s.sentinelsLost = k == "lost"
	case "self":
		f.Self = nobody(v)
	case "known":
		return setInt(&f.Known, v)
	case "answering":
		return setInt(&f.Answering, v)
	case "votes":
		return setInt(&f.Votes, v)
	case "quorum":
		return setInt(&f.Quorum, v)
	case "down_after":
		err := setDuration(&f.DownAfter, v)
		s.eIn, s.ePinned = f.DownAfter-time.Second, false
		return err
	case "master":
		f.Master = nobody(v)
	case "epoch":
		return setEpoch(&f.Epoch, v)
	case "max_epoch":
		return setEpoch(&s.maxEpoch, v)
	case "e":
		return s.setE(v)
	case "by_pings":
		return setDuration(&s.pingsIn, v)
	case "role_term":
		s.roleOff = v == "never"
		if !s.roleOff {
			return setDuration(&s.roleIn, v)
		}
	case "failover":
		f.Failover = yes(v)
	case "promoting":
		f.Promoting = yes(v)
	case "accused":
		f.Accused = yes(v)
	case "erring":
		f.Erring = yes(v)
	case "other_master":
		f.OtherMaster = nobody(v)
	case "former":
		f.Former = nobody(v)
	case "just_back":
		f.BackAt = s.now
	case "tilt":
		f.TiltAt = s.now
	case "down_votes":
		return setInt(&f.DownVotes, v)
	case "listed":
		return setInt(&f.Listed, v)
	case "replicas":
		return setInt(&f.Replicas, v)
	case "replicas_told":
		f.ReplicasToldAt = 0
		if yes(v) {
			f.ReplicasToldAt = s.now
		}
	case "replica_offset":
		n, err := strconv.ParseInt(v, 10, 64)
		f.ReplicaOffset = n
		return err
	default:
		return noSuch()
	}
	return nil
}

// setE reads "+4s" (so far after every answer that names us), "now" (and it
// stays there), "stays" (where it is: no PONG is renewed), "never" and "moving"
// (as before these).
func (s *script) setE(v string) error {
	s.ePinned = v == "now" || v == "never" || v == "stays"
	switch v {
	case "now":
		s.sentinels.E = s.now
	case "never":
		s.sentinels.E = Never
	case "stays", "moving":
	default:
		return setDuration(&s.eIn, v)
	}
	return nil
}

func (s *script) setCoordinator(k, v string) error {
	c := &s.coord
	switch k {
	case "lost", "back":
		s.coordSpeaks = k == "back"
	case "member":
		c.Membership = Member
	case "stranger":
		c.Membership = Stranger
	case "agreement":
		return setAgreement(&c.Agreement, v)
	case "listed":
		c.Listed = yes(v)
	case "behind":
		c.Behind = yes(v)
	case "record":
		return setRecord(&c.Record, v)
	case "elsewhere":
		c.Elsewhere = v
	case "disks":
		return setDisks(&c.Disks, v, s.redis.Position)
	case "grant":
		s.setGrant(v)
	case "last":
		c.Grant.Last = nobody(v)
	case "given_up":
		c.Grant.GivenUp = yes(v)
	case "fence":
		c.Orders.Fence = yes(v)
	case "unfence":
		c.Orders.Unfence = yes(v)
	case "released":
		c.Orders.Released = yes(v)
	case "planned-failover":
		return s.setPlannedFailover(v)
	case "maintenance":
		var d time.Duration
		err := setDuration(&d, v)
		c.Orders.Maintenance = s.now.Add(d)
		return err
	default:
		return noSuch()
	}
	return nil
}

// setPosition reads "h1:100", or "h2:120:h1:100" of a history that went on from h1
// at 100.
func setPosition(to *Position, v string) (err error) {
	if v == "-" {
		*to = Position{}
		return nil
	}
	words := append(strings.Split(v, ":"), "0", "", "0")
	*to = Position{ID: words[0], Before: words[2]}
	if to.Offset, err = strconv.ParseInt(words[1], 10, 64); err != nil || len(words) < 7 {
		return err
	}
	to.Until, err = strconv.ParseInt(words[3], 10, 64)
	return err
}

// setRecord reads "A@h1:100", what A said last; "old:A@h1:100" where another has
// served since. "-" is none.
func setRecord(to *Record, v string) error {
	*to = Record{}
	if v == "-" {
		return nil
	}
	v, old := strings.CutPrefix(v, "old:")
	master, position, _ := strings.Cut(v, "@")
	to.Master, to.RunID, to.Current = Address(master), "of "+master, !old
	return setPosition(&to.Position, position)
}

// setDisks reads "missing=N" as "N", and "N:B" where B has more.
func setDisks(to *Disks, v string, own Position) (err error) {
	missing, better, _ := strings.Cut(v, ":")
	*to = Disks{Of: own, Better: Address(better)}
	to.Missing, err = strconv.Atoi(missing)
	return err
}

// setGrant reads who holds it: "ours", "none", or an address.
func (s *script) setGrant(v string) {
	g := &s.coord.Grant
	switch v {
	case "ours":
		g.Ours, g.Holder, g.GivenUp, g.RenewedAt = true, s.sentinels.Self, false, 0
	case "none":
		g.Ours, g.Holder = false, ""
	default:
		g.Ours, g.Holder, g.GivenUp = false, nobody(v), false
	}
	if g.Holder != "" {
		g.Last = g.Holder
	}
}

func setAnnouncement(a *Announcement, k, v string) error {
	switch k {
	case "sentinel":
		a.Sentinel = v
	case "master":
		a.Master = nobody(v)
	case "epoch":
		return setEpoch(&a.Epoch, v)
	default:
		return noSuch()
	}
	return nil
}

// setPlannedFailover reads "A>B:5s", the order for a failover from A to B that stands
// for so long; "A>B:5s:stop" and "A>B:5s:forced" add to it. "-" takes it back.
func (s *script) setPlannedFailover(v string) error {
	h := &s.coord.Orders.PlannedFailover
	*h = PlannedFailover{}
	if v == "-" {
		return nil
	}
	words := strings.Split(v, ":")
	if len(words) < 2 {
		return fmt.Errorf("no time")
	}
	from, to, _ := strings.Cut(words[0], ">")
	h.ID, h.From, h.To = "h1", Address(from), Address(to)
	for _, word := range words[2:] {
		h.Stop = h.Stop || word == "stop"
		h.Forced = h.Forced || word == "forced"
	}
	var d time.Duration
	err := setDuration(&d, words[1])
	h.Until = s.now.Add(d)
	return err
}
