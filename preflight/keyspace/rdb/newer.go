package rdb

// What Redis 8.6 to 8.10 added (RDB 13 to 15), as its layouts are published: no
// server that writes it was at hand, and Format.Proven is false for it.

// hint says who writes a byte that is not known; empty: nobody we know.
func (f Format) hint(b byte) string {
	switch {
	case f.Family == Valkey && b == opInlineWrite:
		return "Valkey 9.2 notes a write so that came while it saved without a fork"
	case f.Family == Valkey && b == typeValkeyPathHash:
		return "the path hash of Valkey 9.2, whose layout is not published"
	case f.Family == Valkey && b >= 24 && b <= 79:
		return "Valkey leaves it to Redis"
	case f.Family == Redis && b == typeTemplatePack, f.Family == Redis && b == typeTemplateArray:
		return "Redis 8.10 writes it into DUMP, and never into a file"
	case f.Family == Redis && b == typeRateLimit:
		return "a rate limiter (GCRA) of Redis 8.8, which is compiled in by hand; Dragonfly writes such, too"
	case b == opFunctionRC:
		return "functions as release candidates of Redis 7.0 wrote them"
	case b >= 30 && b <= 35 || b >= 200 && b <= 220:
		return "Dragonfly writes such; audit the Dragonfly itself with --scan"
	case b == 64:
		return "KeyDB writes such; audit the KeyDB itself with --scan"
	case b == 6:
		return "modules as release candidates of Redis 4.0 wrote them"
	case b >= 100 && b <= 121:
		return "Redis Enterprise writes such"
	}
	return ""
}

// keyMeta passes over what modules have attached to the key that follows: of
// each class 32 bits that name it, and a value that describes itself.
func (w *walker) keyMeta() {
	for n := w.length(); n > 0 && w.err == nil; n-- {
		w.skip(4)
		w.moduleValue(nil)
	}
}

// maxTemplates bounds the table of templates.
const maxTemplates = 100_000

// template notes how many fields a template has: the values of a hash that is
// made by it are not counted where they are.
func (w *walker) template() {
	id, fields := w.length(), w.length()
	for i := uint64(0); i < fields && w.err == nil; i++ {
		w.skipText()
	}
	if w.err != nil {
		return
	}
	if w.templates == nil {
		w.templates = map[uint64]uint64{}
	}
	if _, twice := w.templates[id]; twice || fields == 0 {
		w.fail("template %d of hashes is there twice or has no fields", id)
		return
	}
	if len(w.templates) == maxTemplates {
		w.fail("more than %d templates of hashes", maxTemplates)
		return
	}
	w.templates[id] = fields
}

// templatePack passes over a hash that is a listpack: the id of its template,
// and the values.
func (w *walker) templatePack() {
	k := &w.key
	w.begin(Hash, TemplatePack)
	n, size := w.blob(listPackCount)
	if n < 2 {
		w.fail("%d entries in a listpack of a template's hash, which has its id and values", n)
		return
	}
	k.Elements, k.Counted, k.Payload, k.Blobs = n-1, true, size, 1
}

// templateArray passes over a hash of values whose number its template has.
func (w *walker) templateArray() {
	k := &w.key
	w.begin(Hash, TemplateArray)
	at := w.offset()
	id := w.length()
	if w.err != nil {
		return
	}
	n, known := w.templates[id]
	if !known {
		w.failAt(at, nil, "a hash of a template that the file does not have")
		return
	}
	k.Elements, k.Counted = n, true
	for i := uint64(0); i < n && w.err == nil; i++ {
		w.note(w.skipText())
	}
}

// array passes over an array: where the next insertion goes if there was one,
// then index, kind and content of each element. All but the longer strings are in
// the array's own cells of eight bytes.
func (w *walker) array() {
	const text, integer, float, short = 0, 1, 2, 3
	k := &w.key
	w.begin(Array, ArrayValue)
	n := w.length()
	k.Elements, k.Counted = n, true
	switch inserted := w.length(); {
	case w.err != nil:
		return
	case inserted == 1:
		w.length()
	case inserted != 0:
		w.fail("an array's insertion is 0 or 1, not %d", inserted)
		return
	}
	for i := uint64(0); i < n && w.err == nil; i++ {
		w.length() // its index
		switch kind := w.length(); kind {
		case text:
			w.note(w.skipText())
		case integer, float:
			w.skip(8)
			k.Payload += 8
		case short:
			k.Payload += w.skipText()
		default:
			w.fail("an array's element of kind %d, which there is not", kind)
		}
	}
}

// producers passes over what a stream knows of XADD's idempotent producers: for
// how long and how many at most, then each with its messages.
func (w *walker) producers() {
	w.lengths(2)
	for n := w.length(); n > 0 && w.err == nil; n-- {
		w.skipText()
		for messages := w.length(); messages > 0 && w.err == nil; messages-- {
			w.skipText()
			w.lengths(2) // the id of its entry
		}
	}
	w.lengths(2) // how many were added, and how many were there before
}
