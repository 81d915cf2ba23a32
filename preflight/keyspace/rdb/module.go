package rdb

// module passes over a module's value, which describes itself.
func (w *walker) module() {
	const vectorSet = "vectorset"
	k := &w.key
	w.begin(Module, ModuleValue)
	k.Module = moduleName(w.length())
	var head [3]uint64
	k.Payload = w.moduleValue(&head)
	if k.Module == vectorSet {
		// vset.c, VectorSetRdbSave: dimensions, elements, …
		k.Elements, k.Counted = head[1], true
	}
}

// moduleValue passes over opcodes to the end, and is the bytes of the texts
// among them; head gets the first unsigned integers.
func (w *walker) moduleValue(head *[3]uint64) (payload uint64) {
	const end, signed, unsigned, float, double, str = 0, 1, 2, 3, 4, 5
	seen := 0
	for w.err == nil {
		switch code := w.length(); code {
		case end:
			return payload
		case signed, unsigned:
			n := w.length()
			if head != nil && seen < len(head) {
				head[seen] = n
				seen++
			}
		case float:
			w.skip(4)
		case double:
			w.skip(8)
		case str:
			payload += w.skipText()
		default:
			w.fail("a module's value has an opcode %d, which there is not", code)
		}
	}
	return payload
}

// moduleName takes the name out of a module's id: nine characters of six bits,
// and ten bits of version (module.c, moduleTypeNameByID).
func moduleName(id uint64) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	name := make([]byte, 9)
	id >>= 10
	for i := len(name) - 1; i >= 0; i-- {
		name[i] = letters[id&63]
		id >>= 6
	}
	return string(name)
}
