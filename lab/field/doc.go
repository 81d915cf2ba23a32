// Package field shows what ordinary days do to a guarded group: what
// administrators, backups, charts and roles really do to Redis, Sentinel, etcd
// and the host. Each test is a story in three parts, what was done, what clients
// noticed and what the operator was told; docs/cases.md lists them. It holds
// nothing but tests.
package field
