// Package gate works the gate of the local Redis: it makes the newest
// watchdog.Gate true, again and again, and reports the watchdog.Redis it sees.
//
// It never decides. It keeps four promises of its own:
//
//   - Everything that changes Redis is sent over one connection, the primary, and
//     every step that opens something is checked against the newest want under
//     the lock under which the fence is sent. So nothing that opens can be
//     executed after a fence that was wanted later, however long Redis was
//     stopped in between; and what was seen before the last step was sent never
//     stands for the fence that is wanted. An opening alone has a connection of
//     its own, with an armed fence behind it: a fence that was wanted later ends
//     that connection unread, or takes the opening back before Redis answers.
//   - The fence waits for nothing: it is bytes made beforehand on a connection
//     opened and authenticated beforehand, sent by a goroutine that does
//     nothing else. It is never taken back while it is unanswered.
//   - What is reported was seen: a Redis refuses when its role is nowhere and
//     a reader and a writer of ours were refused.
//   - The operator's values are recorded before ours replace them, and a value
//     of ours is never recorded as his.
//
// # The armed fence
//
// A connection runs XREAD BLOCK on a key that does not exist; once Redis is
// seen to block it, the fence is queued behind it. When the time is up Redis
// itself runs the fence, before any command its clients have queued meanwhile,
// also if it was stopped. It is put off by arming another connection and then
// killing the former by its client id. A copy of the descriptor in systemd's
// store keeps it armed when the watchdog dies.
//
// The fence must never be sent before XREAD is seen to block: an XREAD that is
// refused at once would let it run at once. Only behind an opening it is, in the
// same write: there is no instant then in which Redis is open and nothing is armed,
// and refused, it leaves Redis as fenced as it was.
package gate
