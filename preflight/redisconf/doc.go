// Package redisconf reads a redis.conf as the server does: the same lines, the
// same quoting, the same includes, and every value as CONFIG GET would print it
// after a start on that file.
//
//   - Pure: files come through a Source, nothing is started and nothing written.
//   - What a build of the server knows (names, aliases, kinds, defaults) stands
//     in tables recorded from real servers; see Builds.
//   - What it cannot tell is a Value with a Why, never a guess. A file the
//     server would not start on is an *Error with its file and line.
//   - No error and no Why holds an argument: arguments may be secrets.
//
// Limits, all on the side of not knowing: the rights of a "user" line and the
// command of a rename-command are not judged; whether a log file or a
// certificate can be opened is not tried; a glob is sorted by bytes, which is
// the server's order in the C locale only.
package redisconf
