package web

// The status page as HTML. What stands on it is put into words by look; here it
// is only laid out. gomponents and not html/template: executing a template calls
// methods by name, which keeps the linker from leaving any method of the whole
// program out (3 MB of 20). Text and attributes are escaped by it; what is used
// as an address is escaped as a path by look, and begins with "/".

import (
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/report"
)

// document is the whole page. The tag names the version of its script and style.
func (v view) document(tag string) g.Node {
	word := "UNKNOWN"
	switch v.Verdict {
	case report.OK:
		word = "OK"
	case report.Fault:
		word = "FAULT"
	}
	host := ""
	if v.Host != "" {
		host = " on " + v.Host
	}
	return h.Doctype(h.HTML(h.Lang("en"), h.Data("verdict", v.Verdict), h.Data("tag", tag),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.TitleEl(g.Text(word+host+" – redis-watchdog")),
			h.Link(h.Rel("icon"), h.Href("/page/"+v.Verdict+".svg?v="+tag)),
			h.Link(h.Rel("stylesheet"), h.Href("/page/page.css?v="+tag)),
			h.Script(h.Src("/page/page.js?v="+tag), h.Defer()),
			h.NoScript(h.Meta(g.Attr("http-equiv", "refresh"), h.Content("5"))),
		),
		h.Body(
			h.Header(
				h.H1(g.Text("redis-watchdog"), when(host, func() g.Node { return h.Small(g.Text(host)) })),
				h.P(h.ID("live"), g.Attr("data-keep"), h.NoScript(g.Text("loaded anew every 5 s"))),
				h.P(h.Class("at"), g.Text("as of "+v.At)),
			),
			h.Main(h.ID("page"),
				h.P(h.ID("stale"), h.Role("alert"), g.Attr("data-keep")),
				g.If(v.Stuck, stuck()),
				h.P(h.Class("verdict "+v.Verdict), h.ID("verdict"), h.Role("status"), h.Strong(g.Text(word)), g.Text(" "+v.Headline)),
				each(v.Groups, groupView.section),
				when(v.Fleet, func() g.Node { return h.P(h.ID("fleet"), h.Small(g.Text(v.Fleet))) }),
				g.If(len(v.Groups) == 0, bad(g.Text("No group is configured."))),
			),
			footer(v.Version),
		),
	))
}

func stuck() g.Node {
	return h.P(h.Class("notice bad"), h.ID("stuck"), h.Strong(g.Text("The decision loop does not turn.")),
		g.Text(" What is shown may be long untrue; the fence inside Redis stays armed. "), code("systemctl status redis-watchdog"))
}

func footer(version string) g.Node {
	access := func(word, meaning string) g.Node {
		return g.Group{tagged(word, word), g.Text(" " + meaning + " ")}
	}
	address := func(path string) g.Node { return g.Group{h.A(h.Href(path), g.Text(path)), g.Text(" ")} }
	return h.Footer(
		h.P(h.Class("legend"), access("serve", "reads and writes"), access("hold", "writers wait"), access("lock", "writes get an error"),
			access("refuse", "fenced: nobody is answered"), access("follow", "a replica"), access("down", "answers nobody")),
		h.P(address("/status"), address("/groups"), address("/readyz"), address("/livez"), address("/metrics")),
		h.P(g.Text("Nothing here can change anything: use "), code("redis-watchdog fence"), g.Text(", "), code("unfence"), g.Text(", "),
			code("maintenance"), g.Text(", "), code("release"), g.Text(". Version "+version+".")),
	)
}

// each lays out every one of them, in order, with its place among them.
func each[T any](all []T, layout func(T, int) g.Node) g.Group {
	var nodes g.Group
	for i, one := range all {
		nodes = append(nodes, layout(one, i))
	}
	return nodes
}

// when lays out what is only there with a text.
func when(text string, layout func() g.Node) g.Node { return g.Iff(text != "", layout) }

func code(text string) g.Node { return h.Code(g.Text(text)) }

func bad(children ...g.Node) g.Node { return h.P(h.Class("notice bad"), g.Group(children)) }

func warning(text string, _ int) g.Node { return h.P(h.Class("notice warn"), g.Text(text)) }

// tagged is a word with the colour of its class.
func tagged(class, text string) g.Node { return h.B(h.Class("tag "+class), g.Text(text)) }

// table is one that stays a table to a screen reader when a narrow window shows
// its rows as cards: the style takes away what the element means by itself.
func table(class string, name g.Node, columns []string, rows g.Node) g.Node {
	head := each(columns, func(column string, _ int) g.Node {
		return h.Th(h.Role("columnheader"), h.Scope("col"), g.Text(column))
	})
	return h.Table(h.Role("table"), h.Class(class), name,
		h.THead(h.Role("rowgroup"), row("", head)), h.TBody(h.Role("rowgroup"), rows))
}

func row(class string, cells ...g.Node) g.Node {
	return h.Tr(h.Role("row"), when(class, func() g.Node { return h.Class(class) }), g.Group(cells))
}

func rowHeader(children ...g.Node) g.Node {
	return h.Th(h.Role("rowheader"), h.Scope("row"), g.Group(children))
}

func cell(label string, children ...g.Node) g.Node {
	return h.Td(h.Role("cell"), h.Data("label", label), g.Group(children))
}

// number is a cell whose figures stand below each other.
func number(label, text string) g.Node { return cell(label, h.Class("n"), g.Text(text)) }
