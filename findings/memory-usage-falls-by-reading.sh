#!/bin/bash
# MEMORY USAGE of a set falls when the set is read, and nothing is written.
#
# Guess: reading changes nothing that MEMORY USAGE counts, so two audits with no
# write between them agree.
# Seen (Redis 7.0.15 of Debian 12): a set of 4,097 members takes 229,512 bytes, and
# after 4,000 SISMEMBER 196,744, 14 % less. Its hash table has just doubled; both
# tables are counted, and each lookup moves one slot from the old one to the new
# (dict.c, _dictRehashStep), until the old one is freed. Nothing else does: the
# server's own rehashing in the background is of the tables of keys only. A set
# that nobody touches stays at the larger number for ever.
# So a size that was asked for right after a collection grew past a power of two
# is up to a seventh too large, and comparing two audits can show a "shrunk" key
# that was only read.
#
# Runs outside CI: bash findings/memory-usage-falls-by-reading.sh. Needs Debian 12.
set -euo pipefail
version=5:7.0.15-1~deb12u10
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download "redis-tools=$version" libjemalloc2=5.3.0-1 liblzf1=3.6-3 >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu
bin=$dir/root/usr/bin
# redis-server is redis-check-rdb by another name: one binary in redis-tools.
ln -s redis-check-rdb "$bin/redis-server"
"$bin/redis-server" --port 0 --unixsocket "$dir/s" --save '' --dir "$dir" >/dev/null &
pid=$!
cli() { "$bin/redis-cli" -s "$dir/s" "$@"; }
for _ in $(seq 100); do cli PING >/dev/null 2>&1 && break; sleep 0.05; done
cli INFO server | tr -d '\r' | grep -E '^redis_version'

seq 1 4097 | sed 's/.*/x&/' | xargs -n 500 "$bin/redis-cli" -s "$dir/s" SADD s >/dev/null
before=$(cli MEMORY USAGE s SAMPLES 0)
untouched=$(sleep 3; cli MEMORY USAGE s SAMPLES 0)
seq 1 4000 | sed 's/.*/SISMEMBER s x&/' | cli >/dev/null
after=$(cli MEMORY USAGE s SAMPLES 0)
echo "written: $before bytes; three seconds later: $untouched; after 4,000 reads: $after; members: $(cli SCARD s)"
[ "$before" = "$untouched" ] || { echo "changed: it falls by itself now"; exit 1; }
[ "$after" -lt "$before" ] || { echo "changed: reading does not change it any more"; exit 1; }
[ $((before - after)) = $((4096 * 8)) ] || { echo "changed: it falls by another amount than the old table's 4,096 pointers"; exit 1; }
echo "as described"
