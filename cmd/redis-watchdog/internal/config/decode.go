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

	"github.com/goccy/go-yaml/ast"
)

type decoder struct {
	file    string
	lines   map[string]int // of every key that is in the file
	values  map[string]string
	anchors map[string]ast.Node
	faults  Faults
	notYAML bool // then there is nothing but that fault
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

func (d *decoder) decode(key string, node ast.Node, into reflect.Value) {
	switch n := node.(type) {
	case *ast.AnchorNode:
		d.anchors[n.Name.GetToken().Value] = n.Value
		d.decode(key, n.Value, into)
		return
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := d.anchors[name]
		if !ok {
			d.fault(key, "*"+name, "no such anchor above", "write the value out")
			return
		}
		d.decode(key, target, into)
		return
	case *ast.NullNode, nil:
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

// Pairs of a mapping; a mapping of one key is a node type of its own.
func pairs(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (d *decoder) decodeStruct(key string, node ast.Node, into reflect.Value) {
	entries, ok := pairs(node)
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
		name := entry.Key.GetToken().Value
		path := join(key, name)
		line := entry.Key.GetToken().Position.Line
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
		d.values[path] = text(entry.Value)
		d.decode(path, entry.Value, field)
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

func (d *decoder) decodeSlice(key string, node ast.Node, into reflect.Value) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.fault(key, text(node), "is "+kind(node)+", not a list", `start each entry with "- "`)
		return
	}
	list := reflect.MakeSlice(into.Type(), len(sequence.Values), len(sequence.Values))
	for i, entry := range sequence.Values {
		path := fmt.Sprintf("%s[%d]", key, i)
		d.lines[path] = entry.GetToken().Position.Line
		if entries, ok := pairs(entry); ok && len(entries) > 0 {
			d.lines[path] = entries[0].Key.GetToken().Position.Line
		}
		d.values[path] = text(entry)
		setInitial(list.Index(i))
		d.decode(path, entry, list.Index(i))
	}
	into.Set(list)
}

func (d *decoder) decodeMap(key string, node ast.Node, into reflect.Value) {
	entries, ok := pairs(node)
	if !ok {
		d.fault(key, text(node), "is "+kind(node)+", not a section of keys", "indent the keys below it")
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, entry := range entries {
		name := entry.Key.GetToken().Value
		path := join(key, name)
		d.lines[path] = entry.Key.GetToken().Position.Line
		d.values[path] = text(entry.Value)
		value := reflect.New(into.Type().Elem()).Elem()
		d.decode(path, entry.Value, value)
		into.SetMapIndex(reflect.ValueOf(name), value)
	}
}

func (d *decoder) decodeDuration(key string, node ast.Node, into reflect.Value) {
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

func (d *decoder) decodeSize(key string, node ast.Node, into reflect.Value) {
	written := text(node)
	size, ok := parseSize(written)
	if !ok {
		d.fault(key, written, "is not a size", "write whole bytes, or a number and a unit as in redis.conf, such as 512mb or 16gb")
		return
	}
	into.SetInt(int64(size))
}

func (d *decoder) decodeScalar(key string, node ast.Node, into reflect.Value) {
	written := text(node)
	switch into.Kind() {
	case reflect.String:
		switch n := node.(type) {
		case *ast.StringNode:
			into.SetString(n.Value)
		case *ast.LiteralNode:
			into.SetString(n.Value.Value)
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			into.SetString(written) // a name such as 6379 or on needs no quotes
		default:
			d.fault(key, written, "is "+kind(node)+", not a text", "write one value, in quotes where there is a colon in it")
		}
	case reflect.Bool:
		if n, ok := node.(*ast.BoolNode); ok {
			into.SetBool(n.Value)
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

func text(node ast.Node) string {
	switch n := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode, *ast.NullNode, nil:
		return ""
	case *ast.LiteralNode:
		return n.Value.Value
	}
	return node.GetToken().Value
}

func kind(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "a truth value"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
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
