package sentinel

// A Watcher's part in its conversations: what they bring, and which there are.

import (
	"fmt"
	"net"
	"slices"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// post brings h to Run. It never blocks: of two letters of one kind from one
// conversation the later one is enough.
func (w *Watcher) post(h heard) {
	w.boxMu.Lock()
	for i := range w.box {
		if w.box[i].same(&h) {
			w.box = slices.Delete(w.box, i, i+1)
			break
		}
	}
	w.box = append(w.box, h)
	w.boxMu.Unlock()
	w.mail.Raise()
}

// read folds all that is in the box.
func (w *Watcher) read() {
	w.boxMu.Lock()
	w.letters, w.box = w.box, w.letters[:0]
	w.boxMu.Unlock()
	complete := false
	for i := range w.letters {
		complete = w.take(&w.letters[i]) || complete
	}
	if len(w.letters) > 0 {
		w.reconcile()
		w.publish(complete)
	}
	clear(w.letters)
}

// take folds what a conversation brought. Complete: with it all that was asked in
// this round is heard.
func (w *Watcher) take(h *heard) (complete bool) {
	key, answered := h.p.key, !h.met && !h.subscribed && h.deaf == nil
	asked := answered && w.pending[h.p]
	if answered {
		delete(w.pending, h.p)
	}
	w.mu.Lock()
	if w.parties[key] != h.p {
		w.mu.Unlock()
		return false // of one that has left
	}
	var hint watchdog.Announcement
	switch {
	case h.met:
		w.state.Met(key, h.runID, h.process, h.at)
	case h.subscribed:
		w.subscribed(key)
	case h.deaf != nil:
		w.unsubscribed(key, h.deaf)
	case h.err != nil:
		w.noteError(key, h.err)
	default:
		var fault string
		if hint, fault = w.state.Hear(key, h.answer); fault != "" {
			w.noteError(key, fmt.Errorf("%w: %s", errProtocol, fault))
		} else {
			w.noteGood(key)
		}
		w.pace()
	}
	locals := w.locals
	w.mu.Unlock()
	if hint.Epoch != 0 {
		w.log.Info("another master is announced", "group", w.cfg.Group, "sentinel", hint.Sentinel,
			"master", hint.Master, "epoch", hint.Epoch)
		for _, l := range locals {
			l.hint(hint)
		}
		w.PollNow() // the others
	}
	return asked && len(w.pending) == 0
}

// reconcile joins the conversations that are missing and leaves those whose
// Sentinel is no longer a member.
func (w *Watcher) reconcile() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.state.Members {
		m := &w.state.Members[i]
		if p := w.parties[m.Key]; p != nil {
			p.dialsAre(m.Dials)
			continue
		}
		p := &party{w: w, key: m.Key, dials: slices.Clone(m.Dials)}
		w.parties[m.Key] = p
		w.introduce(p)
		w.talks.join(p)
	}
	for key, p := range w.parties {
		if w.state.member(key) == nil {
			w.talks.leave(p)
			delete(w.parties, key)
			delete(w.notes, key)
		}
	}
}

// introduce tells where a Sentinel is that may never answer: others may name it,
// and it must not be counted twice. That is also when its name begins to be looked
// up, so that whoever connects knows soon whether it can be.
func (w *Watcher) introduce(p *party) {
	host, port, err := net.SplitHostPort(p.key)
	if err != nil {
		return
	}
	if at, met := w.names.address(host, port, false); met {
		w.post(heard{p: p, met: true, at: at})
		return
	}
	w.wg.Go(func() {
		w.post(heard{p: p, met: true, at: w.names.Address(host, port)})
	})
}

// leave ends the Watcher's part in all conversations, and waits for those that
// end with it.
func (w *Watcher) leave() {
	w.mu.Lock()
	var ended []*conversation
	for _, p := range w.parties {
		if c := w.talks.leave(p); c != nil {
			ended = append(ended, c)
		}
	}
	w.mu.Unlock()
	for _, c := range ended {
		<-c.done
	}
	if w.cfg.Conversations == nil {
		w.talks.Wait()
	}
}
