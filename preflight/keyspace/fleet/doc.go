// Package fleet is the work list of the audits of a whole fleet: what there is to be
// audited, which of it a host may take next, and how far all of it is. It is handed
// values and touches nothing; who keeps the list in etcd, and who audits, is told
// what to write.
package fleet
