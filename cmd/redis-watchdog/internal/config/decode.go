package config

// The file is walked as a syntax tree beside the Go type it is for, so that
// one pass names every unknown key and every wrong type: a decoder stops at
// the first.

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

type decoder struct {
	file     string
	lines    map[string]int // of every key that is in the file
	values   map[string]string
	sections map[*yaml.Node][]pair // with what they bring in
	open     map[*yaml.Node]bool   // anchors that are being followed: one inside itself ends here
	faults   Faults
	notYAML  bool // then there is nothing but that fault
}

// fault notes one. What stands for a password's file may be the password itself.
func (d *decoder) fault(key, value, problem, remedy string) {
	if strings.HasSuffix(key, "password_file") && !filepath.IsAbs(value) {
		value = ""
	}
	line, around := 0, key
	for {
		if n, ok := d.lines[around]; ok {
			line = n
			break
		}
		cut := strings.LastIndexAny(around, ".[")
		if cut < 0 {
			break
		}
		around = around[:cut]
	}
	d.faults = append(d.faults, Fault{File: d.file, Line: line, Key: key, Value: value, Problem: problem, Remedy: remedy})
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

func (d *decoder) decode(key string, node *yaml.Node, into reflect.Value) {
	if node.Kind == yaml.AliasNode {
		if d.open[node.Alias] {
			d.fault(key, "*"+node.Value, "is inside what it names", "write the value out")
			return
		}
		d.open[node.Alias] = true
		defer delete(d.open, node.Alias)
		node = node.Alias
	}
	if isNull(node) {
		// "key:" with nothing behind it keeps the default, but for a section
		// it is the section with all its defaults.
		if into.Kind() == reflect.Pointer {
			into.Set(reflect.New(into.Type().Elem()))
		}
		return
	}
	if into.Type() == durationType {
		d.decodeDuration(key, node, into)
		return
	}
	if into.Type() == sizeType {
		d.decodeSize(key, node, into)
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.decode(key, node, into.Elem())
	case reflect.Struct:
		d.decodeStruct(key, node, into)
	case reflect.Slice:
		d.decodeSlice(key, node, into)
	case reflect.Map:
		d.decodeMap(key, node, into)
	default:
		d.decodeScalar(key, node, into)
	}
}

// pair is one key of a section and what stands behind it.
type pair struct{ key, value *yaml.Node }

// pairs are the keys of a section. What "<<" brings in comes last, and only
// where the section does not say otherwise itself.
func (d *decoder) pairs(key string, node *yaml.Node) ([]pair, bool) {
	if node.Kind != yaml.MappingNode {
		return nil, false
	}
	if known, ok := d.sections[node]; ok {
		return known, true // sections that bring each other in twice would double with every level
	}
	var own []pair
	var merged []*yaml.Node
	said := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if name.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		said[name.Value] = true
		own = append(own, pair{name, value})
	}
	for _, m := range merged {
		for _, from := range mergeSources(m) {
			if from.Kind != yaml.MappingNode || d.open[from] {
				d.fault(key, "<<", "does not name a section of keys", "name an anchor above: <<: *name")
				continue
			}
			d.open[from] = true
			more, _ := d.pairs(key, from)
			delete(d.open, from)
			for _, p := range more {
				if !said[p.key.Value] {
					said[p.key.Value] = true
					own = append(own, p)
				}
			}
		}
	}
	d.sections[node] = own
	return own, true
}

// mergeSources are the sections behind a "<<": one, or a list of them of which
// the first that has a key wins (https://yaml.org/type/merge.html).
func mergeSources(node *yaml.Node) []*yaml.Node {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.SequenceNode {
		return []*yaml.Node{node}
	}
	var all []*yaml.Node
	for _, n := range node.Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		all = append(all, n)
	}
	return all
}

func (d *decoder) decodeStruct(key string, node *yaml.Node, into reflect.Value) {
	entries, ok := d.pairs(key, node)
	if !ok {
		d.fault(key, text(node), "is "+kind(node)+", not a section of keys", "indent the keys below it")
		return
	}
	fields := map[string]reflect.Value{}
	var known []string
	for i := range into.NumField() {
		if name := into.Type().Field(i).Tag.Get("yaml"); name != "-" {
			fields[name] = into.Field(i)
			known = append(known, name)
		}
	}
	for _, entry := range entries {
		name := entry.key.Value
		path := join(key, name)
		line := entry.key.Line
		if first, twice := d.lines[path]; twice {
			d.faults = append(d.faults, Fault{File: d.file, Line: line, Key: path,
				Problem: fmt.Sprintf("is already given in line %d", first), Remedy: "keep one of them"})
			continue
		}
		d.lines[path] = line
		field, ok := fields[name]
		if !ok {
			d.fault(path, "", "unknown key", d.unknownRemedy(name, known))
			continue
		}
		d.values[path] = text(entry.value)
		d.decode(path, entry.value, field)
	}
}

func (d *decoder) unknownRemedy(name string, known []string) string {
	switch name {
	case "password", "sentinel_password":
		return "put the password alone into a file that only the service may read, and name it with " + name + "_file"
	case "insecure_skip_verify":
		return "there is no way to trust whoever answers: name the authority that signed the certificate with ca, and server_name where the names differ"
	}
	best, distance := "", 4
	for _, candidate := range known {
		if n := editDistance(name, candidate); n < distance {
			best, distance = candidate, n
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	slices.Sort(known)
	return "known here: " + strings.Join(known, ", ")
}

func (d *decoder) decodeSlice(key string, node *yaml.Node, into reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		d.fault(key, text(node), "is "+kind(node)+", not a list", `start each entry with "- "`)
		return
	}
	list := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
	for i, entry := range node.Content {
		path := fmt.Sprintf("%s[%d]", key, i)
		d.lines[path] = entry.Line
		d.values[path] = text(entry)
		setInitial(list.Index(i))
		d.decode(path, entry, list.Index(i))
	}
	into.Set(list)
}

func (d *decoder) decodeMap(key string, node *yaml.Node, into reflect.Value) {
	entries, ok := d.pairs(key, node)
	if !ok {
		d.fault(key, text(node), "is "+kind(node)+", not a section of keys", "indent the keys below it")
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, entry := range entries {
		name := entry.key.Value
		path := join(key, name)
		d.lines[path] = entry.key.Line
		d.values[path] = text(entry.value)
		value := reflect.New(into.Type().Elem()).Elem()
		d.decode(path, entry.value, value)
		into.SetMapIndex(reflect.ValueOf(name), value)
	}
}

func (d *decoder) decodeDuration(key string, node *yaml.Node, into reflect.Value) {
	const remedy = `write a number and a unit, such as 400ms or 1.5s`
	written := text(node)
	length, err := time.ParseDuration(written)
	switch {
	case err != nil:
		d.fault(key, written, "is not a duration", remedy)
	case length < 0:
		d.fault(key, written, "is negative", remedy)
	default:
		into.SetInt(int64(length))
	}
}

func (d *decoder) decodeSize(key string, node *yaml.Node, into reflect.Value) {
	written := text(node)
	size, ok := parseSize(written)
	if !ok {
		d.fault(key, written, "is not a size", "write whole bytes, or a number and a unit as in redis.conf, such as 512mb or 16gb")
		return
	}
	into.SetInt(int64(size))
}

func (d *decoder) decodeScalar(key string, node *yaml.Node, into reflect.Value) {
	written := text(node)
	switch into.Kind() {
	case reflect.String:
		if node.Kind != yaml.ScalarNode {
			d.fault(key, written, "is "+kind(node)+", not a text", "write one value")
			return
		}
		into.SetString(node.Value) // a name such as 6379 or on needs no quotes
	case reflect.Bool:
		if value, err := strconv.ParseBool(node.Value); err == nil && node.ShortTag() == "!!bool" {
			into.SetBool(value)
			return
		}
		d.fault(key, written, "is "+kind(node)+", not true or false", "write true or false, without quotes")
	case reflect.Float64:
		number, err := strconv.ParseFloat(written, 64)
		if err != nil {
			d.fault(key, written, "is not a number", "write a number such as 0.001")
			return
		}
		into.SetFloat(number)
	default:
		panic(fmt.Sprintf("config: %s has a type the decoder does not know: %s", key, into.Type()))
	}
}

// setInitial puts the defaults in before what the file says goes over them.
func setInitial(value reflect.Value) {
	if value.Kind() != reflect.Struct {
		return
	}
	initial(value.Addr().Interface())
	for i := range value.NumField() {
		setInitial(value.Field(i))
	}
}

// isNull is whether nothing stands there, or the null of YAML. An empty text in
// quotes is a text.
func isNull(node *yaml.Node) bool { return node.Kind == 0 || node.ShortTag() == "!!null" }

// text is a scalar as it was written, without quotes; empty for all else.
func text(node *yaml.Node) string {
	if node.Kind == yaml.AliasNode {
		return "*" + node.Value
	}
	if node.Kind != yaml.ScalarNode || isNull(node) {
		return ""
	}
	return node.Value
}

func kind(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a section of keys"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.ShortTag() == "!!bool":
		return "a truth value"
	case node.ShortTag() == "!!int", node.ShortTag() == "!!float":
		return "a number"
	}
	return "a text"
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// editDistance is the number of letters to change, put in or leave out.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
