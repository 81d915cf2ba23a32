// Package gather reads the facts a judgement rests on: from Redis, from the
// Sentinels, from the host, and from the reports that the watchdogs publish.
//
//   - What cannot be read is a Gap: never an abort, never a pass, never a hang.
//     Every question has a deadline.
//   - Secrets are masked here, before anything becomes a fact.
//   - It changes nothing anywhere.
package gather
