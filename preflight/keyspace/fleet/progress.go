package fleet

import (
	"net"
	"sort"
	"time"
)

// Progress is how far a run is.
type Progress struct {
	Total    int        `json:"total"`
	Done     int        `json:"done"`
	Failed   int        `json:"failed"`
	LeftOut  int        `json:"left_out"`
	Running  int        `json:"running"` // somebody is at them now
	Waiting  int        `json:"waiting"`
	Unread   int        `json:"unread"` // records that make no sense
	Keys     uint64     `json:"keys"`
	Bytes    uint64     `json:"bytes"`
	Left     *Remaining `json:"left,omitempty"` // nil: it cannot be told, or nothing is left
	Unknown  string     `json:"left_unknown,omitempty"`
	Finished bool       `json:"finished"`
}

// Remaining is how much longer a run takes.
type Remaining struct {
	Low  time.Duration `json:"low"`  // as many at one time as may be, each as long as the median one
	High time.Duration `json:"high"` // as many as now, each as long as nine of ten were at the most
}

// leastDone is how many audits must have ended before the rest is reckoned from them.
const leastDone = 3

// ProgressOf reckons with how long the audits took that are done, by the clocks of
// who made them, and with how many run now; no clock of two hosts is compared. It
// does not know for how long hosts will be busy.
func ProgressOf(r Run, units []Known, unread int) Progress {
	p := Progress{Total: r.Units, Unread: unread}
	var took []float64
	hosts := map[string]int{}
	for _, u := range units {
		switch {
		case u.State == Done:
			p.Done++
			p.Keys += u.Keys
			p.Bytes += u.Bytes
			took = append(took, u.Took)
		case u.State == Failed:
			p.Failed++
		case u.State == LeftOut:
			p.LeftOut++
		case u.Claimed && u.State == Begun:
			p.Running++
			hosts[hostOf(u.Node)]++
		default:
			p.Waiting++
			if u.Address != "" {
				hosts[hostOf(u.Address)]++
			}
		}
	}
	p.Total = max(p.Total, len(units)+unread)
	left := p.Running + p.Waiting
	p.Finished = left == 0 && unread == 0 && len(units) >= p.Total
	switch {
	case left == 0:
	case r.State != Running:
		p.Unknown = "it is " + string(r.State)
	case p.Done < leastDone:
		p.Unknown = "too few audits are done to tell"
	case p.Running == 0:
		p.Unknown = "none runs now: the hosts are busy, or their watchdogs do not answer"
	default:
		sort.Float64s(took)
		longest := 1 // that follow one another, of one host
		for _, n := range hosts {
			longest = max(longest, n)
		}
		at := func(share float64) float64 { return took[min(len(took)-1, int(share*float64(len(took))))] }
		rounds := func(parallel int) float64 { return max(float64(longest), float64(left)/float64(max(1, parallel))) }
		p.Left = &Remaining{Low: seconds(rounds(min(r.Parallel, left)) * at(0.5)), High: seconds(rounds(p.Running) * at(0.9))}
		p.Left.High = max(p.Left.High, p.Left.Low)
	}
	return p
}

const longestLeft = 10 * 365 * 24 * time.Hour

func seconds(s float64) time.Duration {
	if !(s >= 0) {
		return 0
	}
	if s > longestLeft.Seconds() {
		return longestLeft
	}
	return time.Duration(s * float64(time.Second))
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
