package sim

import "time"

// proc is a process on a host: it can be frozen (what reaches it and what its
// timers would have done waits), killed and started again.
type proc struct {
	w      *World
	name   string
	host   int
	up     bool
	frozen bool
	life   int      // which incarnation
	inbox  []func() // while frozen
	wake   func()   // runs first when thawed; may be nil
}

// do runs fn in the process, now or when it is thawed; not at all when it is
// not the incarnation it was meant for.
func (p *proc) do(life int, fn func()) {
	switch {
	case !p.up || p.life != life:
	case p.frozen:
		p.inbox = append(p.inbox, fn)
	default:
		fn()
	}
}

// after is a timer of the process.
func (p *proc) after(d time.Duration, fn func()) {
	life := p.life
	p.w.after(d, func() { p.do(life, fn) })
}

// every is a loop of the process: fn, then a pause between a and b. A frozen
// loop goes on from where it was.
func (p *proc) every(a, b time.Duration, fn func()) {
	var again func()
	again = func() {
		fn()
		p.after(p.w.between(a, b), again)
	}
	p.after(p.w.between(0, b), again)
}

// tell carries a message to process q, whichever incarnation is there when it arrives.
func (p *proc) tell(q *proc, fn func()) {
	p.w.send(p.host, q.host, func() {
		if q.up {
			q.do(q.life, fn)
		}
	})
}

// ask carries a question to q; what serve returns there travels back and runs
// in p, if p is still the incarnation that asked.
func (p *proc) ask(q *proc, serve func() func()) {
	life := p.life
	p.tell(q, func() {
		reply := serve()
		if reply == nil {
			return
		}
		p.w.send(q.host, p.host, func() { p.do(life, reply) })
	})
}

func (p *proc) start() {
	p.up, p.frozen, p.inbox = true, false, nil
	p.life++
}

func (p *proc) kill() {
	p.up, p.frozen, p.inbox = false, false, nil
	p.life++
}

func (p *proc) freeze() {
	if p.up {
		p.frozen = true
	}
}

func (p *proc) thaw() {
	if !p.up || !p.frozen {
		return
	}
	p.frozen = false
	if p.wake != nil {
		p.wake()
	}
	life, waiting := p.life, p.inbox
	p.inbox = nil
	for _, fn := range waiting {
		if p.up && p.life == life {
			p.do(life, fn)
		}
	}
}
